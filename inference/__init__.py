"""How text is generated: prompt, adapters, engine. Imports nothing else of ours."""
