from __future__ import annotations

import math
from dataclasses import replace

import pytest

from retrieve_rerank.connectors.analysis import analyse
from retrieve_rerank.connectors.lexical import LEFT_OUT, NOTHING_TO_FIND, Bm25


def terms(text: str, language: str, analysis: int = 2) -> list[int]:
    return analyse(text, language, analysis=analysis).content


def test_inflected_forms_share_a_term_and_stop_words_have_none() -> None:
    assert terms("the running wings", "english") == terms("run wing", "english")
    assert terms("the of and", "english") == []


def test_each_language_has_its_own_stems() -> None:
    assert terms("les chevaux", "french") == terms("cheval", "french")
    assert terms("die Häuser", "german") == terms("Haus", "german")
    assert terms("дома", "russian") == terms("домов", "russian")


def test_a_language_without_stemmer_keeps_words_whole() -> None:
    assert terms("wings", "unknown") != terms("wing", "unknown")
    assert terms("Wing", "unknown") == terms("wing", "unknown")


def test_scripts_without_spaces_become_characters_and_pairs() -> None:
    one, two, three = (terms(character, "chinese")[0] for character in "税收法")
    found = terms("税收法", "chinese")
    assert found[:3] == [one, two, three]
    assert len(set(found)) == 5


@pytest.mark.parametrize("text", ["한국어", "ภาษาไทย", "ひらがな", "カタカナ"])
def test_pairs_of_neighbours_match_within_longer_runs(text: str) -> None:
    found = terms(text, "unknown")
    assert set(terms(text[1:3], "unknown")) <= set(found)


def test_mixed_text_is_cut_by_script() -> None:
    mixed = terms("BERT模型 models", "english")
    assert mixed == terms("bert", "english") + terms("模型", "english") + terms("model", "english")


def test_full_width_forms_and_case_are_folded() -> None:
    assert terms("ＱＤＲＡＮＴ", "english") == terms("qdrant", "english")


@pytest.mark.parametrize("analysis", [1, 2])
def test_term_ids_never_change(analysis: int) -> None:
    assert terms("wing", "english", analysis) == [3087140164]
    french = "L'été, ﬁnal : les réponses ١٢"  # only the digits are of another kind
    assert (
        terms(french, "french", analysis)
        == {
            1: [3973405894, 370591151, 3397427914],
            2: [3973405894, 370591151, 1330857165],
        }[analysis]
    )


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("turkish", "İSTANBUL", "istanbul"),
        ("turkish", "ISPARTA", "ısparta"),
        ("turkish", "Diyarbakır", "diyarbakir"),
        ("english", "İstanbul", "istanbul"),
        ("german", "Rück\u00aderstat\u00adtung", "Rückerstattung"),
        ("english", "co\u2060operate \ufeffwing", "cooperate wing"),
        ("english", "STRASSE", "straße"),
        ("french", "re\u0301ponse", "réponse"),
        ("vietnamese", "tie\u0302\u0301ng", "tiếng"),
        ("japanese", "ｺﾋﾟｰ機", "コピー機"),
        ("hebrew", "שָׁלוֹם", "שלום"),
        ("hebrew", "\ufb2a\u05b8לום", "שלום"),
        ("arabic", "المَبْلَغُ", "المبلغ"),
        ("arabic", "العـــربية", "العربية"),
        ("arabic", "کتاب", "كتاب"),
        ("persian", "كتابخانه‌ي شهر", "کتابخانه ی شهر"),
        ("unknown", "علي", "علی"),
        ("unknown", "٢٠٢٤", "2024"),
        ("greek", "ΟΔΟΣ", "οδός"),
        ("russian", "ЁЛКА", "елка"),
        ("chinese", "说\u200b明", "说 明"),
        ("hindi", "क्\u200dष", "क्ष"),
    ],
)
def test_what_looks_alike_shares_its_terms(language: str, one: str, other: str) -> None:
    assert terms(one, language) == terms(other, language) != []


def test_stop_words_are_searched_for_where_there_is_nothing_else() -> None:
    bm25 = Bm25.fit(["the wing of the bird is in the air"], language="english")
    held = bm25.document("To be, or not to be: that is the question of it.")
    assert set(bm25.query("to be or not to be")) <= set(held)
    assert bm25.query("The Who") and not set(bm25.query("wing of it")) & set(held)
    # What stop words a document has changes no other word's weight.
    plain = replace(bm25, analysis=1).document("To be, or not to be: that is the question of it.")
    assert plain == {term: held[term] for term in plain}
    assert len(plain) == 1
    # A stop word is not another word's stem: "willing" asks for no "will".
    assert not set(bm25.query("willing")) & set(bm25.document("it will be"))


def test_names_with_symbols_and_emoji_have_terms_of_their_own() -> None:
    bm25 = Bm25.fit(["a language"], language="english")
    asked = [set(bm25.query(name)) for name in ("C", "C#", "C++", "F#", ".NET", "net", "👍🏽", "❤️")]
    assert len({frozenset(each) for each in asked}) == len(asked)
    c, sharp, plus = asked[:3]
    assert c < sharp and c < plus
    assert sharp <= set(bm25.document("We write C#, mostly.")) and sharp <= set(
        bm25.document("使用Ｃ＃编程")
    )
    assert not plus <= set(bm25.document("C#; C; 1+1"))
    assert set(bm25.query("❤")) == asked[-1]
    assert set(bm25.query("👍")) <= asked[-2]


def test_a_query_without_terms_says_why() -> None:
    bm25 = Bm25.fit(["the wing"], language="english")
    assert bm25.notes("wing") == bm25.notes("the who") == ()
    assert bm25.notes("?! …") == (NOTHING_TO_FIND,)
    older = replace(bm25, analysis=1)
    assert older.query("the who") == {}
    assert older.notes("the who") == older.notes("👍") == (LEFT_OUT,)
    assert older.notes("?!") == (NOTHING_TO_FIND,)


def test_weights_recorded_before_there_were_two_analyses_are_of_the_first() -> None:
    recorded = {"language": "english", "average_length": 4.0, "k1": 0.9, "b": 0.75}
    assert Bm25(**recorded).analysis == 1  # type: ignore[arg-type]


def test_document_weights_follow_the_formula() -> None:
    bm25 = Bm25("english", average_length=4.0, k1=1.2, b=0.75)
    wing, lift = terms("wing lift", "english")
    # two terms of two tokens each way: length 3 against an average of 4
    norm = 1.2 * (1 - 0.75 + 0.75 * 3 / 4)
    assert bm25.document("wing lift wing") == pytest.approx(
        {wing: 2 * 2.2 / (2 + norm), lift: 2.2 / (1 + norm)}
    )


def test_query_weights_are_counts() -> None:
    bm25 = Bm25("english", average_length=4.0)
    assert bm25.query("wing lift wing") == dict(
        zip(terms("wing lift", "english"), (2, 1), strict=True)
    )


def test_fitting_takes_language_and_average_length() -> None:
    bm25 = Bm25.fit(["Die Flügel der Vögel sind leicht und nicht schwer.", "Vögel"])
    assert bm25.language == "german"
    assert bm25.average_length == pytest.approx(2.5)  # Flügel, Vögel, leicht, schwer; Vögel


def test_titles_that_tell_no_language_are_read_as_english() -> None:
    assert Bm25.fit(["Brake discs", "Oil filters", "Cylinder head gaskets"]).language == "english"
    assert Bm25.fit(["行政处罚法" * 10]).language == "chinese"


def test_fitting_to_nothing_or_to_empty_texts_divides_by_no_zero() -> None:
    for texts in ([], ["", "the"]):
        bm25 = Bm25.fit(texts)
        assert all(map(math.isfinite, bm25.document("wing").values()))
