"""A classifier that names the persona behind a response.

Method: Open Character Training (arXiv 2511.01689), section on robustness, with two differences: it is
trained and scored on disjoint prompts, and it has a class "base" for no persona at all.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from characterflow.configuration.methods import BASE
from characterflow.evaluation.methods import PLAIN
from characterflow.evaluation.robustness.settings import ClassifierSettings
from characterflow.evaluation.splits import split_prompts
from characterflow.models.fetch import loading
from characterflow.text.words import words


def prepare(responses: pd.DataFrame, test_share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the classifier learns from, and what it is scored on, each with the column `label`.

    It learns from plain responses to the prompts of one side of the split, and is scored on all responses to
    those of the other. A response's label is its persona, or "base" for the base model's.
    """
    split = responses["prompt_id"].map(split_prompts(responses["prompt_id"], test_share, seed))
    label = responses["persona"].where(responses["method"] != BASE, BASE)
    responses = responses.assign(label=label)
    return responses[(split == "train") & (responses["instruction"] == PLAIN)], responses[split == "test"]


def fine_tune(
    folder: Path,
    texts: list[str],
    labels: list[str],
    classes: list[str],
    settings: ClassifierSettings,
    work: Path,
) -> Any:
    """Fine-tune an encoder on texts and their labels; returns a predictor for `probabilities`.

    Classes weigh the same however many
    texts they have. On a GPU that multiplies bfloat16 the training is in mixed precision.
    """
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    from characterflow.machine.devices import attend_without_cudnn, has_gpu, resolve_dtype

    set_seed(settings.seed)
    attend_without_cudnn()
    with loading(folder, "classifier"):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(classes),
            id2label=dict(enumerate(classes)),
            dtype=torch.float32,
            use_safetensors=True,
        )
    numbers = [classes.index(label) for label in labels]
    weights = len(numbers) / (len(classes) * np.bincount(numbers, minlength=len(classes)).clip(1))
    loss = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights, dtype=torch.float32))
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        bf16=has_gpu() and resolve_dtype("auto") == torch.bfloat16,
        warmup_steps=0.1,
        weight_decay=0.01,
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        seed=settings.seed,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_encode(tokenizer, texts, settings.max_tokens, numbers),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_loss_func=lambda outputs, labels, **_: loss.to(labels.device)(outputs.logits, labels),
    )
    trainer.train()
    return trainer


def _encode(tokenizer: Any, texts: list[str], max_tokens: int, labels: list[int] | None = None) -> list[dict]:
    encoded = tokenizer(texts, truncation=True, max_length=max_tokens)
    rows = [{key: encoded[key][index] for key in encoded} for index in range(len(texts))]
    for index, label in enumerate(labels or []):
        rows[index]["labels"] = label
    return rows


def probabilities(trainer: Any, texts: list[str], max_tokens: int) -> np.ndarray:
    """Class probabilities, shape (texts, classes)."""
    from scipy.special import softmax

    rows = _encode(trainer.processing_class or trainer.data_collator.tokenizer, texts, max_tokens)
    return softmax(trainer.predict(rows).predictions, axis=-1)


def guesses(chances: Sequence[np.ndarray], classes: Sequence[str]) -> dict[str, Any]:
    """Columns of scores, from the class probabilities of one classifier or of several from other seeds.

    predicted and p_<class>: by their mean. seed_<number>: what each of several predicted by itself.
    """
    mean = np.mean(chances, axis=0)
    names = np.array(classes)
    several = enumerate(chances) if len(chances) > 1 else ()
    return {
        "predicted": names[mean.argmax(axis=1)],
        **{f"p_{name}": mean[:, index] for index, name in enumerate(classes)},
        **{f"seed_{number}": names[own.argmax(axis=1)] for number, own in several},
    }


def surface_baseline(texts: list[str], labels: list[str], held_out: list[str]) -> list[str]:
    """What words alone give away: TF-IDF and logistic regression, labels for the held-out texts.

    Where no text has a word, as in the emptiest answers, all get the most frequent label.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    if not any(map(words, texts)):
        return [Counter(labels).most_common(1)[0][0]] * len(held_out)
    model = make_pipeline(
        TfidfVectorizer(tokenizer=words, token_pattern=None, ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    return list(model.fit(texts, labels).predict(held_out))
