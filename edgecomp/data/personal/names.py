"""Names of people in texts, by Microsoft's Presidio and a spaCy model that the user has (extra `names`).

A pattern cannot tell a name, and a model misses some and takes other words for some: it is asked where the environment names one, and not otherwise.
"""

import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from edgecomp.errors import RuntimeUnavailableError, UsageError

MODEL = "EDGECOMP_NAMES_MODEL"
PERSON = "PERSON"


def spans(text: str) -> list[tuple[int, int]]:
    """Where names stand in `text`, in order; none where the environment names no model. Raises UsageError, RuntimeUnavailableError."""
    if not (model := os.environ.get(MODEL)):
        return []
    analyzer, language = _analyzer(model)
    found = analyzer.analyze(text, language=language, entities=[PERSON])
    return sorted((one.start, one.end) for one in found)


def identity() -> str:
    """What tells texts that were looked through for names from others: the model's name, nothing where there is none."""
    return f", names by {model}" if (model := os.environ.get(MODEL)) else ""


@cache
def _analyzer(model: str) -> tuple[Any, str]:
    """Presidio's analyser of names by `model`, an installed package or a folder, and the model's language. Nothing is downloaded."""
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"{MODEL}={model}: names take Presidio and spaCy, which cannot be imported ({error}): pip install 'edgecomp[names]'"
        ) from error
    if not (spacy.util.is_package(model) or Path(model).is_dir()):
        raise UsageError(
            f"{MODEL}={model}: no such package or folder of a spaCy model: install one, such as en_core_web_sm, or name its folder"
        )
    logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
    try:
        pipeline = spacy.load(model)
    except (OSError, ValueError) as error:
        raise UsageError(f"{MODEL}={model}: no spaCy model: {' '.join(str(error).split())[:200]}") from error
    language = str(pipeline.lang)
    engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": model}])
    engine.nlp = {language: pipeline}
    registry = RecognizerRegistry(supported_languages=[language])
    registry.add_recognizer(SpacyRecognizer(supported_language=language, supported_entities=[PERSON]))
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language]), language
