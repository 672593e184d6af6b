"""What is compared, and what is said, about someone else's folder beside its proof: labels, loss, extractor, dtype."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ast2hf import normalisation
from ast2hf.config import MULTI_LABEL, Config, Variant
from ast2hf.errors import VerificationError, printable
from ast2hf.families.base import CLASSIFICATION
from ast2hf.formats.base import Spec
from ast2hf.formats.huggingface import HUGGING_FACE, names
from ast2hf.formats.huggingface import config as folder_config
from ast2hf.labels import NONE, Labels, load_labels


def labels_of(folder: Path, config: Config) -> Labels:
    """The folder's own labels, which must equal those of ``labels=``, if that is set."""
    found = HUGGING_FACE.labels(folder)
    if found is None and config.labels not in (None, NONE) and HUGGING_FACE.head(folder) == CLASSIFICATION:
        raise VerificationError(
            "the folder has no names of classes to compare with the label file",
            "add id2label to its config.json, or leave out labels",
        )
    if config.labels is not None and found is not None:
        expected = load_labels(config.labels, config.model).for_classes(len(found))
        for index, (own, wanted) in enumerate(zip(found, expected, strict=True)):
            if own != wanted:
                raise VerificationError(
                    f"class {index} is {printable(own, 60)} in the folder, but "
                    f"{printable(wanted, 60)} in the label file",
                    "correct id2label in its config.json, or use the label file of the training",
                )
    return Labels(found, folder.name)


def require_same_loss(variant: Variant, folder: Path) -> None:
    """Raise VerificationError if the loss of ``folder`` differs from that of ``variant``: its scores would differ."""
    said, own = variant.problem_type, folder_config.read(folder).get("problem_type")
    if variant.head == CLASSIFICATION and said is not None and own is not None and own != said:
        raise VerificationError(
            f"the problem_type of the folder is {printable(own, 60)}, but the training's is {said}",
            "correct problem_type in its config.json, or the loss setting",
        )


def require_no_extractor(spec: Spec, folder: Path) -> None:
    """Raise VerificationError if ``folder`` has an extractor although none can compute the features of its model."""
    found = [name for name in (names.PREPROCESSOR, names.PROCESSOR) if (folder / name).exists()]
    if found and not spec.family.expressible:
        raise VerificationError(
            f"the folder has {found[0]}, but no feature extractor of transformers computes the features of "
            f"{spec.family.title}",
            "remove the file, and compute the features as the authors do",
        )


def remarks(folder: Path, spec: Spec) -> Iterator[str]:
    """What users of ``folder`` get that the proof does not compare."""
    value = folder_config.read(folder)
    dtype = value.get("dtype", value.get("torch_dtype"))
    if dtype not in (None, "float32", "auto"):
        yield (
            f"the folder's config.json says dtype {printable(dtype, 30)}, in which from_pretrained computes unless "
            "it is given another; the proof is of float32"
        )
    if spec.head == CLASSIFICATION and spec.problem_type == MULTI_LABEL and value.get("problem_type") is None:
        yield (
            "the folder's config.json has no problem_type, so a pipeline gives the softmax of the logits, but the "
            "training's loss (bce) means the sigmoid of each"
        )
    own, said = folder_config.read_normalisation(folder), spec.front_end.as_dict()
    if own is not None and spec.family.expressible:
        yield from normalisation.differences(own, (float(said["mean"]), float(said["std"])))
