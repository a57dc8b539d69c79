"""A built-in scorer whose code moved must get a new version: otherwise old and new scores mix under one name."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from lance_assets.scoring import alignment_fit
from lance_assets.scoring.registry import BUILT_IN, known

ROOM = Path(alignment_fit.__file__).parent
SNAPSHOT = Path(__file__).with_name("scorer_sources.json")

MODULES = {
    "sharpness": ("sharpness",),
    "exposure": ("exposure",),
    "caption_quality": ("caption_quality", "words"),
    "alignment": ("alignment", "alignment_model", "features", "words"),
    "duplicate": ("duplicate", "perceptual_hash"),
    "judge": ("judge/prompt", "judge/answer", "judge/picture"),
    "alignment_model": ("alignment_fit", "features", "words"),
}
"""What a score depends on: the modules that compute it. alignment_model is the fit, an asset of its own."""


def code_digest(names: tuple[str, ...]) -> str:
    """SHA-256 of the modules' code without comments, layout, docstrings and imports: only what can change a score
    counts."""
    digest = hashlib.sha256()
    for name in names:
        tree = ast.parse((ROOM / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                node.body = [part for part in node.body if not _is_text(part)]
        tree.body = [part for part in tree.body if not isinstance(part, ast.Import | ast.ImportFrom)]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def versions() -> dict[str, str]:
    return {**{name: known()[name].version for name in BUILT_IN}, "alignment_model": alignment_fit.FIT_VERSION}


def test_a_scorer_whose_code_moved_has_a_new_version():
    now = {name: {"version": v, "sha256": code_digest(MODULES[name])} for name, v in versions().items()}
    then = json.loads(SNAPSHOT.read_text())
    forgotten = [
        name
        for name, entry in now.items()
        if name in then and entry["sha256"] != then[name]["sha256"] and entry["version"] == then[name]["version"]
    ]
    assert not forgotten, (
        f"the code of {', '.join(forgotten)} changed without its version: raise `version` (FIT_VERSION for "
        "alignment_model) if any score can differ, then write the new entry into scorer_sources.json: "
        + json.dumps({name: now[name] for name in forgotten})
    )
    assert now == then, f"{SNAPSHOT.name} is out of date; it should hold: {json.dumps(now)}"


def test_every_built_in_scorer_is_in_the_snapshot():
    assert set(MODULES) == {*BUILT_IN, "alignment_model"} == set(json.loads(SNAPSHOT.read_text()))


def test_comments_and_docstrings_do_not_ask_for_a_new_version(tmp_path, monkeypatch):
    (tmp_path / "words.py").write_text("# a comment\n" + (ROOM / "words.py").read_text().replace('"""', '"""Also: ', 1))
    before = code_digest(("words",))
    monkeypatch.setattr(f"{__name__}.ROOM", tmp_path)
    assert code_digest(("words",)) == before
    (tmp_path / "words.py").write_text((tmp_path / "words.py").read_text().replace(".lower()", ".upper()"))
    assert code_digest(("words",)) != before
