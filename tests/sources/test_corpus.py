"""Files, folders and pipes as one stream of documents."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from pathlib import Path

import pytest

from retrieve_rerank.data import lines
from retrieve_rerank.data.corpus import Corpus
from retrieve_rerank.data.records import Fields
from retrieve_rerank.errors import InputError
from retrieve_rerank.types import Document


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def ids(corpus: Corpus) -> list[str]:
    return [document.id for document in corpus]


def test_json_lines_are_read_whether_gzipped_or_not(tmp_path: Path) -> None:
    text = '{"id": "a", "text": "one"}\n\n{"id": "b", "text": "two"}'
    plain = write(tmp_path / "corpus.jsonl", text)
    zipped = write(tmp_path / "corpus.jsonl.gz", gzip.compress(text.encode()))
    expected = [Document("a", "one"), Document("b", "two")]
    assert list(Corpus([plain])) == list(Corpus([zipped])) == expected


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert ids(Corpus([write(tmp_path / "a.jsonl", '\ufeff{"id": "a", "text": "t"}')])) == ["a"]
    assert ids(Corpus([write(tmp_path / "a.csv", "\ufeffid,text\na,t\n")])) == ["a"]


def test_a_beir_folder_is_read_by_its_corpus(tmp_path: Path) -> None:
    write(tmp_path / "corpus.jsonl.gz", gzip.compress(b'{"_id": "a", "title": "", "text": "t"}'))
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "t"}')
    assert ids(Corpus([str(tmp_path)])) == ["a"]


@pytest.mark.shared_data
def test_a_real_beir_folder_is_read_whole(shared_data: Path) -> None:
    corpus = Corpus([str(shared_data / "stackfaq")])
    assert len(list(corpus)) == 719
    assert not corpus.skipped
    assert corpus.position == corpus.size


def test_text_and_markdown_files_are_documents_named_by_their_paths(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "plain text\n# not a heading")
    write(tmp_path / "a" / "guide.md", "```sh\n# a comment\n```\n## The *guide* ##\ntext")
    write(tmp_path / ".git" / "c.md", "# hidden")
    write(tmp_path / "image.png", b"\x89PNG")
    documents = {document.id: document.title for document in Corpus([str(tmp_path)])}
    assert documents == {"b.txt": "b", "a/guide.md": "The *guide*"}


def test_csv_cells_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        'id,title,text,year\r\n1,"A, B","say ""hi""\r\nand go",\r\n2,,t,1999\r\n',
    )
    assert list(Corpus([path])) == [
        Document("1", 'say "hi"\r\nand go', {"title": "A, B"}),
        Document("2", "t", {"year": "1999"}),
    ]


def test_tsv_takes_quotes_as_they_come(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'id\ttext\n1\t"so" it began\n2\t"a ""b"" c"\n3\t5" disk\n')
    assert [d.text for d in Corpus([path])] == ['"so" it began', 'a "b" c', '5" disk']


def test_tsv_of_two_columns_needs_no_header(tmp_path: Path) -> None:
    assert list(Corpus([write(tmp_path / "a.tsv", "0\tfirst\n1\tsecond\n")])) == [
        Document("0", "first"),
        Document("1", "second"),
    ]


def test_a_table_without_the_needed_columns_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,abstract\n1,t\n")
    with pytest.raises(InputError, match=r"no column for the text; its columns: id, abstract\. .*"):
        Corpus([path])
    assert ids(Corpus([path], fields=Fields(text="abstract"))) == ["1"]


def test_a_table_without_ids_is_answered_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "question,answer\nq,a\n")
    with pytest.raises(InputError, match=r"with --id-field; where there is none, add a column of"):
        Corpus([path], fields=Fields(text="answer"))


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_spaces_around_the_names_of_columns_are_no_part_of_them(
    name: str, separator: str, tmp_path: Path
) -> None:
    rows = [[" question ", "answer", "by "], ["q", " a", "Ada "]]
    path = write(tmp_path / name, "\n".join(separator.join(row) for row in rows))
    corpus = Corpus([path], fields=Fields(id="question", text="answer"))
    assert list(corpus) == [Document("q", " a", {"by": "Ada "})]


@pytest.mark.parametrize("before", ["", "\n", "\r\n\n"])
def test_semicolons_divide_columns_where_the_header_has_no_comma(
    before: str, tmp_path: Path
) -> None:
    rows = 'id;text;price\n1;"one; two, three";1,5\n2;four;\n'
    path = write(tmp_path / "a.csv", before + rows)
    assert list(Corpus([path])) == [
        Document("1", "one; two, three", {"price": "1,5"}),
        Document("2", "four"),
    ]
    with pytest.raises(InputError, match=r"its columns: ID, Text, Title\. Name it with --id-field"):
        Corpus([write(tmp_path / "b.csv", '"ID";"Text";"Title"\n1;t;T\n')])


@pytest.mark.parametrize("header", ["id,text,a;b", '"a;b\nc",id,text'])
def test_semicolons_in_the_names_of_columns_between_commas_divide_nothing(
    header: str, tmp_path: Path
) -> None:
    corpus = Corpus([write(tmp_path / "a.csv", f"{header}\n1;2,3;4,5\n")])
    [document] = corpus
    assert len(document.metadata) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,text,lang,text\n1,a,en,b\n", "same name, 'text': columns 2 and 4. Rename"),
        ("a.tsv", "tag\tid\ttext\ttag\nx\t1\ta\ty\n", "same name, 'tag': columns 1 and 4. Ren"),
    ],
)
def test_two_columns_of_one_name_are_refused_at_once(
    name: str, content: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        Corpus([write(tmp_path / name, content)])


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t")])
def test_columns_without_a_name_are_left_out_and_said(
    name: str, separator: str, tmp_path: Path
) -> None:
    rows = [["", "id", "text", " "], ["0", "a", "one", ""], ["1", "b", "two", "x"]]
    path = write(tmp_path / name, "\n".join(separator.join(row) for row in rows))
    corpus = Corpus([path])
    assert list(corpus) == [Document("a", "one"), Document("b", "two")]
    assert corpus.first_noted == {"columns without a name": f"{path}:1: 2 columns left out"}


def test_a_line_of_nothing_but_separators_is_left_out(tmp_path: Path) -> None:
    for name, separator in (("a.csv", b","), ("b.csv", b";"), ("a.tsv", b"\t")):
        row = separator * 2_000_000
        lines = [separator.join([b"id", b"text"]), row, separator.join([b"a", b"t"])]
        corpus = Corpus([write(tmp_path / name, b"\n".join(lines))])
        assert ids(corpus) == ["a"]
        assert corpus.skipped == {"too many columns": 1}


def test_files_of_a_folder_that_are_not_read_are_counted_by_kind(tmp_path: Path) -> None:
    for name in ("a.md", "b.html", "sub/c.HTML", "sub/d.pdf", "LICENCE", ".hidden", ".git/x.md"):
        write(tmp_path / "notes" / name, "text")
    (tmp_path / "notes" / "elsewhere").symlink_to(tmp_path)
    corpus = Corpus([str(tmp_path / "notes")])
    assert ids(corpus) == ["a.md"]
    kinds = {".html": 2, ".pdf": 1, "without suffix": 1, "hidden": 2, "linked folder": 1}
    assert corpus.passed_over == kinds
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "README.md"):
        write(tmp_path / "beir" / name, '{"_id": "a", "text": "t"}')
    assert Corpus([str(tmp_path / "beir")]).passed_over == {".md": 1}


def test_standard_input_is_json_lines_or_what_format_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def stdin(content: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))

    stdin(b'{"id": "a", "text": "t"}\n')
    assert ids(Corpus(["-"])) == ["a"]
    stdin(b"id,text\nb,t\n")
    assert ids(Corpus(["-"], format="csv")) == ["b"]


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    content = b'{"id": "a", "text": "t"}\n{"id": "b", "text": "t"}\n'
    writer = threading.Thread(target=path.write_bytes, args=[content])
    writer.start()
    assert ids(Corpus([str(path)])) == ["a", "b"]
    writer.join()


def test_skipped_records_are_counted_by_problem_and_shown_with_their_place(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        b'{"id": "a", "text": "t"}\n{"id": "a", "text": "u"}\n{"id": "b", "text": ""}\n'
        b'{"id"\n{"id": "\xff", "text": "t"}\n{"text": "t"}\n{"id": "c", "text": "t"}\n',
    )
    corpus = Corpus([path])
    assert ids(corpus) == ["a", "c"]
    assert corpus.skipped == {
        "duplicate id": 1,
        "empty text": 1,
        "malformed JSON": 1,
        "invalid UTF-8": 1,
        "missing id": 1,
    }
    assert [skipped.place for skipped in corpus.first_skipped] == [
        f"{path}:{n}" for n in range(2, 7)
    ]


def test_only_the_first_skipped_records_are_remembered_but_all_are_counted(tmp_path: Path) -> None:
    corpus = Corpus([write(tmp_path / "a.jsonl", '{"id": 1}\n' * 5000)])
    assert not list(corpus)
    assert corpus.skipped.total() == 5000
    assert len(corpus.first_skipped) == 10


def test_ids_are_unique_over_all_sources(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", '{"id": "a", "text": "t"}\n')
    second = write(tmp_path / "b.csv", "id,text\na,u\nb,u\n")
    corpus = Corpus([first, second])
    assert ids(corpus) == ["a", "b"]
    assert str(corpus.first_skipped[0].reason) == "duplicate id: 'a'"


def test_broken_rows_cost_only_themselves(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b'id,text\n1,t,x\n2,"a"b\n3,\xff\n4,t\n')
    corpus = Corpus([path])
    assert ids(corpus) == ["4"]
    assert [(s.place, s.reason.problem) for s in corpus.first_skipped] == [
        (f"{path}:2", "wrong number of columns"),
        (f"{path}:3", "malformed CSV"),
        (f"{path}:4", "invalid UTF-8"),
    ]


@pytest.mark.parametrize(
    ("row", "rows", "unread"),
    [
        pytest.param("2,t\n", 58, 58, id="to the end"),
        pytest.param("t" * 2**20 + "\n", 40, 32, id="beyond what a cell may hold"),
    ],
)
def test_a_quote_that_is_never_closed_is_no_bad_row_but_the_end_of_the_file(
    row: str, rows: int, unread: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", f'id,text\n0,t\n1,"unclosed\n{row * rows}')
    documents = iter(Corpus([path]))
    assert next(documents).id == "0"
    with pytest.raises(InputError, match=f"a.csv:3: a quote .* never closed, and {unread} lines"):
        next(documents)


def test_a_bad_row_that_takes_several_lines_names_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,text\n1,"unclosed\n2,t\n3,"closes it"\n4,t\n5,"one line')
    corpus = Corpus([path])
    assert ids(corpus) == ["4"]
    first, last = (str(skipped.reason) for skipped in corpus.first_skipped)
    assert first == """malformed CSV: ',' expected after '"', in lines 2 to 4"""
    assert last == "malformed CSV: unexpected end of data"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
def test_a_line_over_the_limit_is_skipped_and_the_next_one_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 1000)
    rows = [("a", "t"), ("b", "t" * 5000), ("c", "t")]
    content = {
        "a.jsonl": "\n".join(json.dumps({"id": id_, "text": text}) for id_, text in rows),
        "a.csv": "id,text\n" + "\n".join(f"{id_},{text}" for id_, text in rows),
        "a.tsv": "id\ttext\n" + "\n".join(f"{id_}\t{text}" for id_, text in rows),
    }[name]
    corpus = Corpus([write(tmp_path / name, content)])
    assert ids(corpus) == ["a", "c"]
    assert corpus.skipped == {"line too long": 1}


def test_a_megabyte_of_text_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"id,text\na,{'word ' * 200_000}\n")
    [document] = Corpus([path])
    assert len(document.text) == 1_000_000


def test_a_folder_reports_files_it_cannot_use(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "good")
    write(tmp_path / "b.txt", b"\xe9\xe8")
    write(tmp_path / "c.txt", "  ")
    (tmp_path / "d.txt").symlink_to("nowhere")
    write(tmp_path / "e.txt", "as Windows saves it".encode("utf-16"))
    os.mkfifo(tmp_path / "f.txt")
    corpus = Corpus([str(tmp_path)])
    assert ids(corpus) == ["a.txt"]
    assert corpus.skipped == {
        "invalid UTF-8": 1,
        "empty text": 1,
        "unreadable file": 1,
        "UTF-16 in place of UTF-8": 1,
        "not a regular file": 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"PAR1", "cannot tell the format of .*a.parquet by its name; say it with"),
        ("a.json", b'[{"id": 1}]', r"holds one JSON array; expected one object a line: jq -c"),
        ("a.jsonl", "{}".encode("utf-16"), "is UTF-16; expected UTF-8: iconv"),
        ("a.jsonl.gz", b"no gzip", "cannot read .*a.jsonl.gz: Not a gzipped file"),
    ],
)
def test_unusable_files_are_refused_at_once(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        Corpus([write(tmp_path / name, content)])


def test_a_missing_source_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone.jsonl: No such file or directory"):
        Corpus([str(tmp_path / "gone.jsonl")])


def test_a_folder_without_documents_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds neither corpus\.jsonl nor \.txt, \.md"):
        Corpus([str(tmp_path)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_source_is_refused_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", "{}")
    Path(path).chmod(0)
    with pytest.raises(InputError, match=r"cannot read .*a.jsonl: Permission denied"):
        Corpus([path])


def test_a_gzip_file_cut_short_gives_what_stands_before_and_then_says_so(tmp_path: Path) -> None:
    text = "".join(f'{{"id": {n}, "text": "{os.urandom(20).hex()}"}}\n' for n in range(10_000))
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(text.encode())[:-1000])
    documents = iter(Corpus([path]))
    with pytest.raises(InputError, match=r"cannot read .* beyond line \d+: .* get an intact copy"):
        for count, _ in enumerate(documents):  # noqa: B007
            pass
    assert count > 5000
