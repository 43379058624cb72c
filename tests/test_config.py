"""Settings from flags, environment and rr.toml, and what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieve_rerank.errors import ConfigError, IndexNotFoundError
from retrieve_rerank.settings.build import index_names, locate, open_index
from retrieve_rerank.settings.file import config_file
from retrieve_rerank.settings.sources import (
    IndexSettings,
    Settings,
    StageSettings,
    load_settings,
)

pytestmark = pytest.mark.usefixtures("home")


def make_index(data_dir: Path, name: str) -> str:
    folder = data_dir / "indexes" / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    return str(folder)


def configure(text: str) -> Path:
    path = Path("rr.toml").resolve()
    path.write_text(text)
    return path


def test_flags_go_before_environment_before_file_before_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings().top_k == 10
    configure("top_k = 20\ncandidates = 200")
    assert load_settings().top_k == 20
    monkeypatch.setenv("RR_TOP_K", "30")
    assert load_settings().top_k == 30
    assert load_settings(top_k=40).top_k == 40
    assert load_settings(top_k=None).top_k == 30
    assert load_settings().candidates == 200


def test_rr_toml_is_read_as_editors_on_windows_save_it() -> None:
    configure("top_k = 20").write_bytes(b"\xef\xbb\xbftop_k = 30\r\n")
    assert load_settings().top_k == 30
    configure("").write_bytes("top_k = 40".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"rr.toml is UTF-16; expected UTF-8: iconv -f UTF-16"):
        load_settings()


def test_an_empty_environment_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RR_TOP_K", "")
    assert load_settings().top_k == 10


def test_every_setting_is_described() -> None:
    for model in (Settings, IndexSettings, StageSettings):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_rr_toml_is_found_upward_then_with_the_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert config_file() is None
    user = home.parent / "home" / "retrieve-rerank" / "rr.toml"
    user.parent.mkdir(parents=True)
    user.touch()
    assert config_file() == user
    mine = configure("")
    below = home / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert config_file() == mine


def test_rr_config_names_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("top_k = 20")
    other = home / "other.toml"
    other.write_text("top_k = 5")
    monkeypatch.setenv("RR_CONFIG", str(other))
    assert load_settings().top_k == 5
    monkeypatch.setenv("RR_CONFIG", "gone.toml")
    with pytest.raises(ConfigError, match=r"RR_CONFIG names gone\.toml, which is not a file"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("top_k = 0", "rr.toml: top_k: expected a value greater than 0; got 0"),
        ('top_k = "many"', "rr.toml: top_k: expected a valid integer, .*; got 'many'"),
        (
            "deadline_s = nan",
            "rr.toml: deadline_s: expected a value less than or equal to 1000000; got nan",
        ),
        ("deadline_s = inf", "expected a value less than or equal to 1000000; got inf"),
        ("timeout_s = inf", "timeout_s: expected a value less than or equal to 1000000$"),
        ("oversample = inf", "oversample: expected a finite number$"),
        ("topk = 5", r"rr.toml: unknown key topk; did you mean top_k\?"),
        ('[indexes.docs]\nulr = "x"', r"rr.toml: unknown key indexes.docs.ulr; did you mean url\?"),
        ("[indexes.docs]\n", "rr.toml: indexes.docs.url: Field required"),
        ("[[stages]]\n", r"rr.toml: stages\[0\].reranker: Field required"),
        (
            '[[stages]]\nreranker = "max-sim"\nweight = 2',
            r"rr.toml: stages\[0\].weight: expected a value less than or equal to 1; got 2",
        ),
        (
            '[[stages]]\nreranker = "max-sim"\ncache = 3',
            r"rr.toml: stages\[0\].cache: expected true, false or a file; got 3",
        ),
        ('top_k = "5"', "rr.toml: top_k: expected a number, without quotes$"),
        ("candidates = true", "rr.toml: candidates: expected a number"),
        ('grpc = "true"', "rr.toml: grpc: expected true or false, without quotes$"),
        (
            '[indexes.docs]\nurl = "x"\ntimeout_s = "3"',
            "rr.toml: indexes.docs.timeout_s: expected a number",
        ),
        ('[fusion.weights]\nbm25 = "1"', "rr.toml: fusion.weights.bm25: expected a number"),
        ("top_k = ", r"cannot read .*rr\.toml: Invalid value"),
    ],
)
def test_errors_name_file_and_key_and_what_was_expected(text: str, message: str) -> None:
    path = configure(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings()
    assert str(path) in str(caught.value)


def test_errors_name_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RR_TOP_K", "many")
    with pytest.raises(ConfigError, match=r"^RR_TOP_K: top_k: expected a valid integer"):
        load_settings()
    monkeypatch.setenv("RR_TOP_K", "5")
    assert load_settings().top_k == 5


def test_a_misspelt_variable_is_an_error_but_another_programs_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RR_LOG", "debug")  # of the rr debugger
    load_settings()
    monkeypatch.setenv("RR_TOPK", "5")
    with pytest.raises(ConfigError, match=r"RR_TOPK is not a setting; did you mean RR_TOP_K\?"):
        load_settings()


def test_folders_in_rr_toml_are_relative_to_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure('data_dir = "data"\n[indexes.docs]\nurl = "built/docs"')
    (home / "below").mkdir()
    monkeypatch.chdir(home / "below")
    settings = load_settings()
    assert settings.data_dir == home / "data"
    assert settings.indexes["docs"].url == str(home / "built" / "docs")


SECRET = "s3cret"
URL = f"qdrant+https://me:{SECRET}@host:6333/docs"


@pytest.mark.parametrize("source", ["file", "environment", "flag", "flag url"])
def test_credentials_are_taken_out_of_urls_and_never_shown(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = {}
    if source == "file":
        configure(f'index = "docs"\n[indexes.docs]\nurl = "{URL}"')
    elif source == "environment":
        monkeypatch.setenv("RR_INDEXES__DOCS__URL", URL)
    elif source == "flag":
        monkeypatch.setenv("RR_INDEX", URL)
    else:
        flags = {"index": URL}
    settings = load_settings(**flags)
    where = locate(settings)
    assert where.url == "qdrant+https://host:6333/docs"
    assert where.username == "me"
    assert where.password is not None
    assert where.password.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), repr(where), settings.model_dump_json()):
        assert SECRET not in shown


def test_settings_do_not_show_the_password_in_an_encoders_url() -> None:
    configure(f'[indexes.docs]\nurl = "./docs"\nencoder = "tei:http://me:{SECRET}@host"')
    settings = load_settings(encoder="bge-m3", sparse_encoder=f"tei:http://me:{SECRET}@host")
    assert settings.indexes["docs"].encoder == f"tei:http://me:{SECRET}@host"
    for shown in (repr(settings), str(settings.indexes["docs"]), settings.model_dump_json()):
        assert SECRET not in shown
    assert '"encoder":"bge-m3","sparse_encoder":"tei:http://***@host"' in settings.model_dump_json()


def test_errors_do_not_show_credentials() -> None:
    configure(f'[indexes.docs]\nurl = "{URL}"\napi_key = ["{SECRET}"]')
    with pytest.raises(ConfigError, match=r"indexes\.docs\.api_key: expected a valid string") as e:
        load_settings()
    assert SECRET not in str(e.value)
    assert e.value.__cause__ is None


def test_an_api_key_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    configure('[indexes.docs]\nurl = "qdrant://host:6333/docs"')
    monkeypatch.setenv("RR_INDEXES__DOCS__API_KEY", SECRET)
    key = load_settings().indexes["docs"].api_key
    assert key is not None
    assert key.get_secret_value() == SECRET


def test_fields_set_for_any_index_beat_its_own_and_credentials_fill_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure('[indexes.docs]\nurl = "qdrant://h/c"\napi_key = "own"\nencoder = "old"')
    monkeypatch.setenv("RR_API_KEY", "of-any")
    monkeypatch.setenv("RR_HNSW_EF", "64")
    where = locate(load_settings(index="docs", encoder="new"))
    assert where.api_key is not None
    assert where.api_key.get_secret_value() == "own"
    assert (where.hnsw_ef, where.encoder) == (64, "new")
    other = locate(load_settings(index="qdrant://other/c"))
    assert other.api_key is not None
    assert other.api_key.get_secret_value() == "of-any"
    assert locate(load_settings(index="./folder")).api_key is None  # no server, no credentials


def test_errors_do_not_show_secrets_of_any_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RR_API_KEY", '{"key": "hidden"}')
    monkeypatch.setenv("RR_TIMEOUT_S", "soon")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "RR_TIMEOUT_S" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "url"),
    [
        ("./here", "here"),
        ("a/b", "a/b"),
        ("~/docs", "{home}/docs"),
        ("qdrant://host:6333/docs", "qdrant://host:6333/docs"),
        ("named", "elasticsearch://host/named"),
        ("new", "{data}/indexes/new"),
    ],
)
def test_an_index_is_a_name_a_folder_or_a_url(index: str, url: str, tmp_path: Path) -> None:
    configure('[indexes.named]\nurl = "elasticsearch://host/named"')
    settings = load_settings(index=index, data_dir=tmp_path / "data")
    expected = url.format(home=tmp_path / "home", data=tmp_path / "data")
    assert locate(settings).url == expected


def test_the_only_index_there_is_need_not_be_named(tmp_path: Path) -> None:
    folder = make_index(tmp_path, "docs")
    (tmp_path / "indexes" / "interrupted").mkdir()
    assert locate(load_settings(data_dir=tmp_path)).url == folder


def test_without_an_index_the_error_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no index yet; make one: rr index SOURCE"):
        locate(load_settings(data_dir=tmp_path))


def test_several_indexes_are_listed_unless_rr_toml_sets_one(tmp_path: Path) -> None:
    for name in ("b", "a"):
        make_index(tmp_path, name)
    configure('[indexes.c]\nurl = "./c"')
    settings = load_settings(data_dir=tmp_path)
    assert index_names(settings) == ["a", "b", "c"]
    with pytest.raises(ConfigError, match="several indexes: a, b, c; choose one with --index"):
        locate(settings)
    configure('index = "b"')
    assert locate(load_settings(data_dir=tmp_path)).url == str(tmp_path / "indexes" / "b")


def test_opening_an_unknown_index_names_those_there_are(tmp_path: Path) -> None:
    configure('[indexes.docs]\nurl = "./c"')
    with pytest.raises(IndexNotFoundError, match=r"no index dosc; known: docs\. Make it: rr index"):
        open_index(load_settings(index="dosc", data_dir=tmp_path))
