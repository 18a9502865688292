from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.formats.characters import Kind, kind, language, lowered, mended, raised
from tests.rag.formats.made import FACTS_OF_HEAT, HINDI, KRUTI_DEV

CHANAKYA = "·¤ÿææ âð §â ·¤ãæÙè ×ð´ °·¤ ç·¤âæÙ ãñ Áæð »æ¡ß ×ð´ ÚãÌæ ãñ ¥æñÚU ¹ðÌ ×ð´ ·¤æ× ·¤ÚÌæ ãñ"
GLOSSARY = (
    "foKku çdk'k ikS/kk iŸkh ruk ewy Qwy Qy cht fo|qr /kkjk vkos'k pqEcd cy xfr Hkkj nzO;eku rki nkc ok;q e`nk /kkrq "
    "v/kkrq vEy {kkj yo.k d'ksj:d izk.kh dksf'kdk Ård"
)
CHEMISTRY = (
    "NaCl NaOH H2SO4 HCl HNO3 KMnO4 K2Cr2O7 CaCO3 CaCl2 MgSO4 CuSO4 FeSO4 ZnSO4 AgNO3 NaNO3 KNO3 NH4Cl BaCl2 PbI2 "
    "Al2O3 2Na + 2H2O -> 2NaOH + H2 CaCO3 + 2HCl -> CaCl2 + H2O + CO2 Fe2O3 + 3CO -> 2Fe + 3CO2 pH NaHCO3 MgCl2"
)
MATHEMATICS = (
    "2x+3y=12, x-y=1. (a+b)^2=a^2+2ab+b^2. sin^2A+cos^2A=1. tanA=sinA/cosA. f(x)=ax^2+bx+c, D=b^2-4ac. x=2, y=5, z=7, "
    "PQ=RS, AB=CD, ABC~DEF, dy/dx=3x^2, kx=ky, k=2, f(k)=k+1, logab=loga+logb, alpha+beta=-b/a, kA=kB, nCr=nPr/r!"
)
PROGRAM = (
    "for i in range(10): print(i) def addTwo(aValue, bValue): return aValue+bValue myList=[1,2,3] userName=input() "
    "getElementById innerHTML document.write(userName) onClick=myFunction() <div class=main> <a href=x> fontSize "
    "int main() { cout<<x; cin>>y; } breakLine checkBox backColor keyList"
)
ROMANISED = (
    "Suraj purab se nikalta hai aur pashchim mein doobta hai. Paudhe apna bhojan khud banate hain. Is kriya ko prakash "
    "sanshleshan kehte hain. Isme suraj ki roshni, paani aur carbon dioxide ki zaroorat hoti hai."
)
NAMES = (
    "Aarav Sharma, Priya Patel, Rohan Gupta, Ananya Singh, Vikram Reddy, Meera Iyer, Arjun Nair, Kavya Menon, "
    "Rahul Verma, Sneha Joshi, Aditya Rao, Pooja Desai, Karan Malhotra, Nisha Kapoor, Manish McDonald, Alok MacArthur"
)
SANSKRIT = "अहम् बालकः अस्मि। त्वम् पुस्तकम् पठसि। सः फलम् खादति। रामः वनम् गच्छति। जगत् सुन्दरम् अस्ति।"
DRAWN = "ि हन्दी मेां लिा खा ह ुआ पा ठ ह ै। य ह ए क क हा नी ह ै ि जस मे ं एक ि कसान ह ै।"


@given(st.text())
def test_mending_twice_changes_nothing(text: str) -> None:
    assert mended(mended(text)) == mended(text)


@given(st.text(st.sampled_from("कखगतनपरसह्ािीुूेैोौंःँ़। ज्ञक्ष०१‍‌")))
def test_devanagari_is_only_composed(text: str) -> None:
    assert mended(text) == unicodedata.normalize("NFC", text)


def test_ligatures_and_invisible_marks_are_mended_and_powers_are_not() -> None:
    assert mended("eﬃcient ﬂow of x² in H₂O") == "efficient flow of x² in H₂O"
    assert mended("a\u00adb\u200b\x00c\u202e\ufeff\u2060 d\u00a0e") == "abc d e"
    assert mended("half \ud800 a pair") == "half  a pair"
    assert mended("क\u094d\u200dष") == "क\u094d\u200dष"


def test_raised_and_lowered_letters_are_written_where_unicode_has_them() -> None:
    assert (raised("2"), raised("-1"), raised("th")) == ("²", "⁻¹", None)
    assert (lowered("2"), lowered("x"), lowered("")) == ("₂", None, None)


@pytest.mark.parametrize("text", [*KRUTI_DEV, "\n".join(KRUTI_DEV), CHANAKYA, GLOSSARY, f"पाठ ३ {KRUTI_DEV[0]}"])
def test_devanagari_drawn_over_latin_letters_is_recognised_by_its_words(text: str) -> None:
    assert kind(text) is Kind.LEGACY


@pytest.mark.parametrize(
    "text", [" ".join(FACTS_OF_HEAT), CHEMISTRY, MATHEMATICS, PROGRAM, ROMANISED, NAMES, SANSKRIT, *HINDI, "Chapter 7"]
)
def test_what_looks_odd_is_not_taken_for_it(text: str) -> None:
    assert kind(text) is Kind.TEXT


@pytest.mark.parametrize(
    "name", ["KrutiDev010", "ABCDEF+Kruti Dev 016", "DevLys010Bold", "WalkmanChanakya905", "4CGandhi"]
)
def test_the_fonts_name_makes_a_few_words_enough(name: str) -> None:
    assert kind("foKku d{kk 7") is Kind.TEXT
    assert kind("foKku d{kk 7", frozenset({"Helvetica", name})) is Kind.LEGACY
    assert kind(FACTS_OF_HEAT[0], frozenset({name})) is Kind.TEXT
    assert kind(HINDI[0], frozenset({name})) is Kind.TEXT


def test_an_ordinary_fonts_name_says_nothing() -> None:
    assert kind("foKku d{kk 7", frozenset({"DiagramSans", "ParagraphText"})) is Kind.TEXT


def test_hindi_in_the_order_of_drawing_is_recognised() -> None:
    assert kind(DRAWN) is Kind.BROKEN


@pytest.mark.parametrize("text", ["", " \n\t", "— • —", "।।"])
def test_signs_alone_are_no_text(text: str) -> None:
    assert kind(text) is Kind.EMPTY


def test_the_language_is_that_of_most_letters() -> None:
    assert language(" ".join(HINDI)) == "hi"
    assert language(FACTS_OF_HEAT[0]) == "en"
    assert language(f"{HINDI[0]} (photosynthesis)") == "hi"
    assert language("12 + 3") == "en"
