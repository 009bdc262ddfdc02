"""Stories and questions about them: the bAbI tasks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from attnlab.batch import Batch
from attnlab.data.babi_files import Stories, find_files, read_stories, words_of
from attnlab.data.base import Baseline, DataModule, Split, check_least
from attnlab.data.metrics import SequenceAccuracy
from attnlab.errors import UserError
from attnlab.spec import END, PAD, DataSpec, Label, Sentences, Tokens

#: A word, and the number of an answer, that the training part does not have.
UNKNOWN_WORD, UNKNOWN_ANSWER = END + 1, 0
ARTICLES = ("a", "an", "the")
TASKS = range(1, 21)


class BAbI(DataModule):
    """Stories of a few sentences, and questions with an answer of one word or a short list.

        inputs      mary moved to the bathroom
                    john went to the hallway
        question    where is mary
        target      bathroom                        milk,football and n,s are answers as well, each a class

    Weston et al. 2015, arXiv:1502.05698, 20 tasks in English. Every question is an example: the sentences of its story
    so far, without the questions in between. Validation is the last tenth of a task's training questions, as in the
    code of Henaff et al. 2017, arXiv:1612.03969. Words are in lower case, without full stops and question marks; words
    and answers are those of the training part. Any other word becomes one token for all of them, and any other answer
    counts as an error.

    A batch is as long as the longest of its stories, not as spec.max_length: most are much shorter.

    The spec names as entities the words that follow an article in the training part's stories, and those that begin
    with a capital there and never without: all names, and a few words such as "then".

    Args:
        path: a folder or a .tar.gz with the official files (qa1_…_train.txt, qa1_…_test.txt), which do not come with
            attnlab.
        size: the folder that is meant, en (1,000 questions of a task) or en-10k, where path holds several; None: the
            only one.
        task: 1-20, a list of them, or all, trained jointly.
        max_sentences: of a longer story the last ones are kept.

    Raises:
        UserError: a task that there is not; later, a file that is absent, or is laid out in another way.
    """

    key_metric: ClassVar[str] = "accuracy"
    key_mode: ClassVar[Literal["min", "max"]] = "max"
    example_spec: ClassVar[DataSpec] = DataSpec(
        Sentences(17, 5, entities=(3, 5, 11)), Label(7), max_length=9, question=Tokens(17)
    )

    def __init__(
        self,
        *,
        path: str,
        size: str | None = None,
        task: int | str | Sequence[int],
        max_sentences: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed)
        check_least(1, max_sentences=max_sentences)
        self.path, self.size = path, size
        self.tasks = _tasks(task)
        self.max_sentences = max_sentences
        self._sources: dict[Split, StorySource] = {}

    @property
    def spec(self) -> DataSpec:
        vocab = self.vocabulary
        return DataSpec(
            Sentences(vocab.num_tokens, self.max_words, vocab.entities),
            Label(vocab.num_answers),
            max_length=max(int(source.lengths.max()) for source in map(self.source, ("train", "val", "test"))),
            question=Tokens(vocab.num_tokens),
        )

    @cached_property
    def files(self) -> dict[tuple[int, str], bytes]:
        return find_files(self.path, self.size, self.tasks)

    @cached_property
    def parts(self) -> dict[Split, list[tuple[Stories, slice]]]:
        """For each split the stories of each task, and which of their questions belong to it."""
        parts: dict[Split, list[tuple[Stories, slice]]] = {"train": [], "val": [], "test": []}
        for (task, part), content in self.files.items():
            stories = read_stories(content, f"{self.path}: the {part} file of task {task}")
            if part == "test":
                parts["test"].append((stories, slice(None)))
                continue
            num_train = len(stories.questions) * 9 // 10
            if num_train == 0:
                raise UserError(f"{self.path} has one training question of task {task}; validation takes a tenth")
            parts["train"].append((stories, slice(num_train)))
            parts["val"].append((stories, slice(num_train, None)))
        return parts

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.parts["train"])

    @cached_property
    def max_words(self) -> int:
        """Of a sentence or a question in any split."""
        texts = {text for part in self.parts.values() for stories, _ in part for text in stories.sentences}
        texts |= {text for part in self.parts.values() for stories, _ in part for text in stories.questions}
        return max(len(words_of(text)) for text in texts)

    def source(self, split: Split) -> StorySource:
        if split not in self._sources:
            self._sources[split] = StorySource(self.parts[split], self.vocabulary, self.max_words, self.max_sentences)
        return self._sources[split]

    def metric(self) -> Metric:
        return AnswerAccuracy()

    def baselines(self) -> Mapping[str, Baseline]:
        return {"most_frequent": self._most_frequent, "latest_mention": self._latest_mention}

    def _most_frequent(self, batch: Batch) -> Tensor:
        """Always the answer that training has most often."""
        return torch.full_like(batch.targets, int(self.source("train").answers.bincount().argmax()))

    def _latest_mention(self, batch: Batch) -> Tensor:
        """The last word of the latest sentence that ends with an answer and names an entity of the question."""
        assert batch.question is not None
        vocab = self.vocabulary
        asked = batch.question.where(torch.isin(batch.question, torch.tensor(vocab.entities)), -1)
        mentions = (batch.inputs[..., None] == asked[:, None, None]).any(-1).any(-1)  # [B, T]
        last = (batch.inputs != PAD).sum(-1, keepdim=True).sub(1).clamp(min=0)
        ending = vocab.answer_of_word[batch.inputs.gather(2, last).squeeze(2)]
        fits = mentions & (ending != UNKNOWN_ANSWER)
        place = torch.arange(1, fits.shape[1] + 1)
        latest = (fits * place).argmax(1, keepdim=True)
        return ending.gather(1, latest).where(fits.any(1, keepdim=True), self._most_frequent(batch))

    def fingerprint(self) -> str:
        sha256 = hashlib.sha256()
        for content in self.files.values():
            sha256.update(content)
        return sha256.hexdigest()

    def input_labels(self, split: Split, index: int) -> list[str]:
        batch = self.source(split)[np.array([index])]
        return [self.vocabulary.text(sentence) for sentence in batch.inputs[0][batch.input_mask[0]].tolist()]

    def question_label(self, split: Split, index: int) -> str | None:
        batch = self.source(split)[np.array([index])]
        assert batch.question is not None
        return self.vocabulary.text(batch.question[0].tolist())

    def answer_labels(self, split: Split, index: int, answer: Tensor) -> list[str]:
        return [self.vocabulary.answers[int(answer.flatten()[0])]]


class Vocabulary:
    """Words and answers of the training part.

    Attributes:
        words: each token's word.
        answers: each class's answer.
        entities: tokens, see BAbI.
        answer_of_word: token → the answer that is this word, UNKNOWN_ANSWER where none is.
    """

    def __init__(self, parts: Sequence[tuple[Stories, slice]]) -> None:
        questions = {text for stories, chosen in parts for text in stories.questions[chosen]}
        sentences = {text for stories, chosen in parts for text in stories.sentences[: stories.ends[chosen][-1]]}
        answers = {text for stories, chosen in parts for text in stories.answers[chosen]}
        words = {word for text in questions | sentences for word in words_of(text)}
        self.words = ["", "<end>", "<unknown>", *sorted(words)]
        self.answers = ["<unknown>", *sorted(answers)]
        self._tokens = {word: token for token, word in enumerate(self.words)}
        self._classes = {answer: number for number, answer in enumerate(self.answers)}
        known = [self._classes.get(word, UNKNOWN_ANSWER) for word in self.words]
        self.answer_of_word = torch.tensor(known)
        self.entities = tuple(sorted(self._tokens[word] for word in _things(sentences) | _names(sentences)))

    @property
    def num_tokens(self) -> int:
        return len(self.words)

    @property
    def num_answers(self) -> int:
        return len(self.answers)

    def text(self, tokens: Sequence[int]) -> str:
        """The words of a sentence, without its padding."""
        return " ".join(self.words[token] for token in tokens if token != PAD)

    def tokens(self, texts: Sequence[str], max_words: int) -> Tensor:
        """[texts, max_words], padded on the right."""
        rows = np.full((len(texts), max_words), PAD)
        for row, text in zip(rows, texts, strict=True):
            words = words_of(text)
            row[: len(words)] = [self._tokens.get(word, UNKNOWN_WORD) for word in words]
        return torch.from_numpy(rows)

    def classes(self, answers: Sequence[str]) -> Tensor:
        return torch.tensor([self._classes.get(answer, UNKNOWN_ANSWER) for answer in answers])


def _things(sentences: set[str]) -> set[str]:
    """What follows an article."""
    split = [words_of(text) for text in sentences]
    return {word for words in split for before, word in pairwise(words) if before in ARTICLES}


def _names(sentences: set[str]) -> set[str]:
    """What begins with a capital and never without."""
    written = Counter(word for text in sentences for word in text.rstrip(" .?").split())
    return {word.lower() for word in written if word[0].isupper() and word.lower() not in written}


class StorySource:
    """Examples that share their sentences: each is a stretch of one long array of sentences, and a question.

    The few different texts are made into tokens once; stories and questions hold their numbers.
    """

    def __init__(
        self, parts: Sequence[tuple[Stories, slice]], vocabulary: Vocabulary, max_words: int, max_sentences: int
    ) -> None:
        texts: dict[str, int] = {}

        def numbers(written: Sequence[str]) -> list[int]:
            return [texts.setdefault(text, len(texts)) for text in written]

        sentences: list[int] = []
        starts, ends, questions, answers = [], [], [], []
        for stories, chosen in parts:
            starts.append(torch.tensor(stories.starts[chosen]) + len(sentences))
            ends.append(torch.tensor(stories.ends[chosen]) + len(sentences))
            sentences += numbers(stories.sentences)
            questions += numbers(stories.questions[chosen])
            answers.append(vocabulary.classes(stories.answers[chosen]))
        self.sentences, self.questions = torch.tensor(sentences), torch.tensor(questions)
        self.starts, self.ends, self.answers = torch.cat(starts), torch.cat(ends), torch.cat(answers)
        self.starts = torch.maximum(self.starts, self.ends - max_sentences)
        self.lengths = self.ends - self.starts
        self.tokens = vocabulary.tokens(list(texts), max_words)

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, indices: np.ndarray) -> Batch:
        chosen = torch.from_numpy(indices)
        starts, lengths = self.starts[chosen, None], self.lengths[chosen, None]
        step = torch.arange(int(lengths.max()))
        mask = step < lengths
        sentences = self.sentences[torch.where(mask, starts + step, starts)]
        targets = self.answers[chosen, None]
        return Batch(
            self.tokens[sentences] * mask[..., None],
            mask,
            targets,
            torch.ones_like(targets, dtype=torch.bool),
            self.tokens[self.questions[chosen]],
        )


class AnswerAccuracy(SequenceAccuracy):
    """`accuracy`: share of right answers; one that the training part does not have is always wrong."""

    def hits(self, predictions: Tensor, batch: Batch) -> Tensor:
        return super().hits(predictions, batch) & (batch.targets != UNKNOWN_ANSWER)

    def compute(self) -> dict[str, Tensor]:
        return {"accuracy": super().compute()["accuracy"]}


def _tasks(task: int | str | Sequence[int]) -> list[int]:
    if task == "all":
        return list(TASKS)
    asked = [task] if isinstance(task, int | str) else list(task)
    if not asked or any(number not in TASKS for number in asked) or len(set(asked)) < len(asked):
        raise UserError(
            f"data.task={task} must be a number from 1 to 20, a list such as [1,2] without repetition, or all"
        )
    return asked  # type: ignore[return-value]  # numbers, as was just checked
