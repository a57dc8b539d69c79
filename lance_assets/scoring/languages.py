"""Which language a text is in."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from lance_assets.errors import BadInput

#: What is told apart unless somebody says otherwise: languages in which much is written. More candidates, most of them
#: rare, would win the short captions that belong to these.
# fmt: off
CANDIDATES = (
    "ar", "bg", "bn", "ca", "cs", "da", "de", "el", "en", "es", "et", "fa", "fi", "fr", "he", "hi", "hr", "hu", "id",
    "it", "ja", "ko", "lt", "lv", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "sw", "ta", "te",
    "th", "tr", "uk", "ur", "vi", "zh",
)
# fmt: on
UNDETERMINED = "und"
#: The model's name for what is no language: numbers, keyboards.
NO_LANGUAGE = "zxx"
#: Characters that are looked at: enough to be certain, and a bound on the time.
LONGEST = 1000
#: Addresses, file names, tags and accounts look like English in every language.
NO_WORDS = re.compile(r"(https?://|www\.)\S+|[^\s.]{1,100}\.(jpe?g|png|gif|webp|html?)\b|[#@]\w+", re.IGNORECASE)


def language_of(text: str, candidates: tuple[str, ...] = CANDIDATES, least: float = 0.5) -> str:
    """The ISO 639 code of the language of a text; UNDETERMINED where the most probable candidate is less so than
    `least`, as for two short words. Raises BadInput for a candidate that the model does not know.

    By the naive Bayes of langid.py (Lui and Baldwin, "langid.py: An Off-the-shelf Language Identification Tool", ACL
    2012) in the package py3langid (BSD), whose wheel holds the weights. 150 to 500 us a caption; the first one of a
    process waits a second for the model, which takes 100 MB.
    """
    said = NO_WORDS.sub(" ", text[:LONGEST])
    if not any(character.isalpha() for character in said):
        return UNDETERMINED
    code, probability = _model(candidates).classify(said)
    return UNDETERMINED if probability < least or code == NO_LANGUAGE else code


def load_languages(candidates: tuple[str, ...]) -> None:
    """Reads the model before the first text. Raises what `language_of` does."""
    _model(candidates)


def check_languages(purpose: str) -> None:
    """Raises BadInput where the package is missing."""
    if find_spec("py3langid") is None:
        raise BadInput(f"{purpose} needs the package py3langid: pip install lance_assets again")


@lru_cache(maxsize=4)
def _model(candidates: tuple[str, ...]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    try:
        model.set_languages({*candidates, NO_LANGUAGE})
    except ValueError as error:
        raise BadInput(f"languages: {error}; known are: {', '.join(sorted(model.labels))}") from error
    return model
