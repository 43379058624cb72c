from __future__ import annotations

import math

import pytest

from retrieve_rerank.connectors.lexical import Bm25, terms


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


def test_term_ids_never_change() -> None:
    assert terms("wing", "english") == [3087140164]


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
