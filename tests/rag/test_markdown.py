from __future__ import annotations

import pytest

from rag.markdown import Block, blocks, plain


def texts(markdown: str) -> list[str]:
    return [block.text for block in blocks(markdown)]


@pytest.mark.parametrize(
    ("marked", "shown"),
    [
        ("**Example 1.** Solve", "Example 1. Solve"),
        ("an *italic* and an _other_ word", "an italic and an other word"),
        ("2 * 3 * 4 and snake_case_name and ___", "2 * 3 * 4 and snake_case_name and ___"),
        ("a [link](http://example.org/x) here", "a link here"),
        ("see ![a leaf](leaf.png) it", "see it"),
        ("hidden <!-- note --> text", "hidden text"),
        ("`code` and \\* star", "code and * star"),
        ("H₂O  and\tx²", "H₂O and x²"),
    ],
)
def test_inline_marks_are_removed(marked: str, shown: str) -> None:
    assert plain(marked) == shown


def test_headings_keep_their_level() -> None:
    assert blocks("# One\n\n## Two ##\ntext") == [Block(1, "One"), Block(2, "Two"), Block(0, "text.")]


def test_a_paragraph_may_run_over_lines() -> None:
    assert texts("Green plants\nmake food.\n\nAnimals eat.") == ["Green plants make food.", "Animals eat."]


def test_fragments_under_a_colon_become_one_sentence() -> None:
    assert texts("A plant needs:\n\n- sunlight\n- water, from\n  the soil\n") == [
        "A plant needs: sunlight; water, from the soil."
    ]


def test_sentences_under_a_colon_stay_sentences() -> None:
    assert texts("Do this:\n\n1. Take a leaf.\n2. Boil it.\n") == ["Do this: Take a leaf. Boil it."]


def test_other_list_items_are_paragraphs() -> None:
    assert texts("The planets are eight.\n\n- Mercury is small.\n* Venus is hot") == [
        "The planets are eight.",
        "Mercury is small.",
        "Venus is hot.",
    ]


def test_arithmetic_belongs_to_the_line_above() -> None:
    assert texts("Find the force.\n\nForce = pressure × area\n\nForce = 200 N\n\nWell done.") == [
        "Find the force. Force = pressure × area. Force = 200 N.",
        "Well done.",
    ]


def test_a_key_term_is_never_without_its_term() -> None:
    assert texts("- **Stomata**: tiny pores.\n- **Noun**: A noun is a name.\n- **Like terms**: Like terms match.") == [
        "Stomata: tiny pores.",
        "A noun is a name.",
        "Like terms match.",
    ]


def test_a_table_row_repeats_the_names_of_its_columns() -> None:
    assert texts("| Fraction | Percentage |\n|---|:---:|\n| 1/2 | 50% |\n| 1/4 | |\n") == [
        "Fraction: 1/2; Percentage: 50%.",
        "Fraction: 1/4.",
    ]


def test_rules_fences_and_quotation_marks_of_blocks_are_dropped() -> None:
    assert texts("---\n> Quoted text.\n\n```\ncode line\n```\n") == ["Quoted text.", "code line."]
