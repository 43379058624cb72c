from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from retrieve_rerank.text.language import Language, detect_language, words
from retrieve_rerank.text.stop_words import STOP_WORDS

SENTENCES = {
    "english": "The government decided on Wednesday to lower taxes, but the opposition does not.",
    "german": "Die Regierung hat am Mittwoch beschlossen, dass die Steuern gesenkt werden sollen.",
    "french": "Le gouvernement a décidé mercredi de baisser les impôts, mais l'opposition n'est "
    "pas d'accord.",
    "spanish": "El gobierno decidió el miércoles bajar los impuestos, pero la oposición no está de "
    "acuerdo.",
    "portuguese": "O governo decidiu na quarta-feira baixar os impostos, mas a oposição não está "
    "de acordo.",
    "dutch": "De regering heeft woensdag besloten de belastingen te verlagen, maar de oppositie is "
    "het er niet mee eens.",
    "turkish": "Hükümet vergileri düşürmeye karar verdi, ancak muhalefet bu konuda aynı fikirde "
    "değil ve bunu çok yanlış buluyor.",
    "russian": "Правительство решило снизить налоги для малых предприятий, но оппозиция с этим "
    "не согласна.",
    "ukrainian": "Уряд вирішив у середу знизити податки, але опозиція з цим не згодна, і це не "
    "новина.",
    "arabic": "قررت الحكومة يوم الأربعاء خفض الضرائب على الشركات، لكن المعارضة لا توافق على ذلك.",
    "hindi": "सरकार ने बुधवार को कर कम करने का निर्णय लिया, लेकिन विपक्ष इससे सहमत नहीं है।",
    "japanese": "政府は水曜日に税金を引き下げることを決定したが、野党は同意していない。",
    "korean": "정부는 수요일에 세금을 낮추기로 결정했지만 야당은 동의하지 않는다.",
    "chinese": "政府星期三决定降低小企业的税收,但反对派不同意,双方将在下周继续谈判。",
    "greek": "Η κυβέρνηση αποφάσισε την Τετάρτη να μειώσει τους φόρους.",
    "thai": "รัฐบาลตัดสินใจเมื่อวันพุธที่จะลดภาษีสำหรับธุรกิจขนาดเล็ก",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_one_sentence_tells_its_language(name: str) -> None:
    assert detect_language([SENTENCES[name]]).name == name


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], Language("unknown", "unknown")),
        (["", "  ", "12345 67.89", "???"], Language("unknown", "unknown")),
        (["lift"], Language("unknown", "latin")),
        (["NaCl KBr MgSO4 CaCO3 FeCl3 AgNO3 CuSO4 ZnO TiO2"], Language("unknown", "latin")),
        (["ენა არის ადამიანთა ურთიერთობის საშუალება"], Language("georgian", "georgian")),
    ],
)
def test_what_cannot_be_told_is_unknown(texts: list[str], expected: Language) -> None:
    assert detect_language(texts) == expected


def test_a_quotation_does_not_change_the_language_of_a_corpus() -> None:
    texts = [SENTENCES["english"]] * 9 + [SENTENCES["chinese"]]
    assert detect_language(texts) == Language("english", "latin")


def test_only_the_beginning_of_a_corpus_is_read() -> None:
    def corpus() -> Iterator[str]:
        while True:
            yield SENTENCES["german"] * 1000

    assert detect_language(corpus()).name == "german"


def test_words_are_lower_case_without_punctuation_and_keep_their_marks() -> None:
    assert words("Don't panic: U+FF21 is Ａ, naïve_case re-used") == [
        *("don", "t", "panic", "u", "ff21", "is", "a", "naïve", "case", "re", "used")
    ]
    assert words("नहीं है।") == ["नहीं", "है"]


def test_stop_words_are_as_words_are_cut() -> None:
    for language, found in STOP_WORDS.items():
        assert all(words(word) == [word] for word in found), language


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("collection", "expected"),
    [("scifact", "english"), ("policyqa", "english"), ("stard", "chinese"), ("drcd", "chinese")],
)
def test_real_corpora_tell_their_language(
    shared_data: Path, collection: str, expected: str
) -> None:
    with gzip.open(shared_data / collection / "corpus.jsonl.gz", "rt") as lines:
        texts = [json.loads(line)["text"] for line in islice(lines, 200)]
    assert detect_language(texts).name == expected
