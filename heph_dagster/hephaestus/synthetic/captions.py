"""Captions of invented annotations, in the manner of the annotators."""

from __future__ import annotations

import numpy as np

from heph_dagster.hephaestus.annotation import Activity, Annotation, Deformation

_ATMOSPHERE = {
    0: "The atmosphere leaves no trace.",
    1: "Stratified air follows the heights.",
    2: "Turbulent air makes wave-like patterns over the area.",
    3: "Stratified air follows the heights, and turbulent air makes wave-like patterns.",
}
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def caption(annotation: Annotation, shape: tuple[int, int]) -> str:
    """A description in English of what an annotation says.

    Args:
        annotation: The annotation.
        shape: Height and width of the interferogram.

    Returns:
        Sentences.
    """
    if annotation.corrupted:
        return "The interferogram is corrupted."
    if annotation.no_info:
        return "There is nothing but noise to see."
    sentences = [_ATMOSPHERE[annotation.atmospheric_fringes]]
    if annotation.low_coherence:
        sentences.append("Parts are noisy, as coherence is low.")
    if annotation.orbital_fringes:
        sentences.append("Errors of the orbits make fringes from side to side.")
    if annotation.glacier_fringes:
        sentences.append("Glaciers make fringes of their own.")
    if annotation.processing_error:
        step = "debursting" if annotation.processing_error == 2 else "merging of the swaths"
        sentences.append(f"The {step} went wrong.")
    if annotation.image_artifacts:
        sentences.append("There are bars that no radar makes.")
    sentences += [_pattern(each, shape) for each in annotation.deformations]
    if not annotation.deformations:
        sentences.append("No ground deformation is seen.")
    return " ".join(sentences)


def _pattern(deformation: Deformation, shape: tuple[int, int]) -> str:
    x, y = np.clip(deformation.polygon.mean(axis=0) / shape[::-1] * 3, 0, 2.99).astype(int)
    words = " ".join(filter(None, (_ROWS[y], _COLUMNS[x])))
    place = f"at the {words}" if words else "in the middle"
    if deformation.activity is Activity.EARTHQUAKE:
        return f"An earthquake moved the ground {place}."
    word = deformation.activity.word
    word = word if deformation.activity is Activity.MOGI else word.lower()
    kind = f"n {word}" if deformation.activity is Activity.UNIDENTIFIED else f" {word}"
    strength = "" if deformation.intensity is None else f" of {deformation.intensity.word.lower()} intensity"
    return f"A{kind} source{strength} deforms the ground {place}."
