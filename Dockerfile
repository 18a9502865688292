# syntax=docker/dockerfile:1
# One image for web, worker and everything in between. Build for the CPU with
#   docker build --build-arg TORCH_INDEX=<the CPU index that PyTorch's install page names> -t sahpathi .
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/sahpathi
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bot bot
COPY inference inference
COPY rag rag
COPY training training
COPY data data
RUN if [ -n "$TORCH_INDEX" ]; then export PIP_EXTRA_INDEX_URL="$TORCH_INDEX"; fi \
    && /opt/sahpathi/bin/pip install -c constraints.txt ".[postgres,train]"

FROM python:3.11-slim-bookworm
# Scanned textbooks are read by OCR, in English and Hindi.
RUN apt-get update && apt-get install -y --no-install-recommends tesseract-ocr tesseract-ocr-eng tesseract-ocr-hin \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 sahpathi && install -d -o sahpathi -g sahpathi /var/lib/sahpathi
COPY --from=build /opt/sahpathi /opt/sahpathi
ENV PATH=/opt/sahpathi/bin:$PATH PYTHONUNBUFFERED=1 \
    SAHPATHI_HOME=/var/lib/sahpathi SAHPATHI_HOST=0.0.0.0
USER sahpathi
WORKDIR /var/lib/sahpathi
VOLUME /var/lib/sahpathi
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=5)"]
CMD ["sahpathi", "serve"]
