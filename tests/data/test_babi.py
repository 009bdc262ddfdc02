from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attnlab.data import BAbI
from attnlab.data.babi import UNKNOWN_ANSWER, UNKNOWN_WORD
from attnlab.data.babi_files import Stories, read_stories, words_of
from attnlab.errors import UserError

#: Two stories; nine questions are for training, and the tenth for validation.
TRAIN = """\
1 Mary went to the garden.
2 Then John got an apple.
3 Where is Mary? \tgarden\t1
4 Sandra moved to the kitchen.
5 Mary got the milk there.
6 What is Mary carrying?\tmilk,apple\t2 5
1 John went to the garden.
2 Where is John? \tgarden\t1
3 Where was John? \tGarden\t1
4 Is John in the garden?\tyes\t1
5 Is John in the kitchen?\tno\t1
6 Where is john? \tgarden\t1
7 Is John in garden?\tyes\t1
8 Is John in kitchen?\tno\t1
9 John went to the office.
10 Where is John?\toffice\t9
"""
TEST = """\
1 Fred went to the garden.
2 Where is Fred?\tgarden\t1
1 Sandra moved to the kitchen.
2 Where is Sandra now in truth?\tnowhere\t1
"""
Write = Callable[..., Path]
Make = Callable[..., BAbI]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of a task into a folder: write("en", 1) or write("en", 1, train="…")."""

    def _write(folder: str, task: int, train: str | None = TRAIN, test: str | None = TEST) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True, parents=True)
        for part, content in (("train", train), ("test", test)):
            if content is not None:
                (tmp_path / folder / f"qa{task}_made-up_{part}.txt").write_text(content)
        return tmp_path

    return _write


@pytest.fixture
def make() -> Make:
    def _make(path: Path, **options: Any) -> BAbI:
        return BAbI(path=str(path), **{"task": 1, "max_sentences": 70, "batch_size": 4, "seed": 0, **options})

    return _make


def batch_of(data: BAbI, split: str, *indices: int) -> Any:
    return data.source(split)[np.array(indices)]


def sentences(data: BAbI, batch: Any, example: int = 0) -> list[str]:
    """The words of an example's real sentences."""
    words = data.vocabulary.words
    return [
        " ".join(words[token] for token in row if token) for row in batch.inputs[example, batch.input_mask[example]]
    ]


def answers(data: BAbI, batch: Any) -> list[str]:
    return [data.vocabulary.answers[label] for label in batch.targets[:, 0]]


def test_every_question_is_an_example_with_its_story_so_far(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    batch = batch_of(data, "train", 1, 2, 0)
    first = ["mary went to the garden", "then john got an apple"]
    assert sentences(data, batch, 0) == [*first, "sandra moved to the kitchen", "mary got the milk there"]
    assert sentences(data, batch, 1) == ["john went to the garden"]
    assert sentences(data, batch, 2) == first
    words = data.vocabulary.words
    asked = [" ".join(words[token] for token in row if token) for row in batch.question]
    assert asked == ["what is mary carrying", "where is john", "where is mary"]
    assert answers(data, batch) == ["milk,apple", "garden", "garden"]


def test_the_last_tenth_of_training_is_for_validation(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    assert [len(data.source(split)) for split in ("train", "val", "test")] == [9, 1, 2]
    batch = batch_of(data, "val", 0)
    assert sentences(data, batch) == ["john went to the garden", "john went to the <unknown>"]


def test_words_and_answers_are_those_of_training(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    vocabulary = data.vocabulary
    assert vocabulary.words[:3] == ["", "<end>", "<unknown>"]
    assert vocabulary.words[3:] == sorted(set(vocabulary.words[3:]))
    assert "office" not in vocabulary.words  # only validation has it
    assert vocabulary.answers == ["<unknown>", "garden", "milk,apple", "no", "yes"]
    batch = batch_of(data, "test", 0, 1)
    assert sentences(data, batch, 0) == ["<unknown> went to the garden"]
    assert batch.question[0].tolist()[2] == UNKNOWN_WORD
    assert batch.targets.tolist() == [[1], [UNKNOWN_ANSWER]]


def test_an_answer_that_training_does_not_have_is_always_wrong(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    metric, batch = data.metric(), batch_of(data, "test", 0, 1)
    metric.update(batch.targets, batch)
    assert {name: value.item() for name, value in metric.compute().items()} == {"accuracy": 0.5}


def test_a_batch_is_as_long_as_its_longest_story_and_padded_on_the_right(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    batch = batch_of(data, "train", 2, 1, 0)
    assert batch.input_mask.tolist() == [[True] + 3 * [False], 4 * [True], 2 * [True] + 2 * [False]]
    assert not batch.inputs[~batch.input_mask].any()
    assert batch_of(data, "train", 2, 3).inputs.shape == (2, 1, 6)
    assert data.spec.max_length == 4


def test_the_spec_covers_every_split(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    spec = data.spec
    assert spec.input.max_words == 6  # of the last question of the test part
    assert spec.input.vocab_size == spec.question.vocab_size == len(data.vocabulary.words)
    assert spec.output.num_classes == 5
    for split in ("train", "val", "test"):
        batch = batch_of(data, split, *range(len(data.source(split))))
        assert batch.inputs.shape[2] == batch.question.shape[1] == 6
        assert batch.inputs.max() < spec.input.vocab_size


def test_of_a_long_story_the_last_sentences_are_kept(make: Make, write: Write) -> None:
    data = make(write("en", 1), max_sentences=3)
    batch = batch_of(data, "train", 1, 0)
    kept = ["then john got an apple", "sandra moved to the kitchen", "mary got the milk there"]
    assert sentences(data, batch) == kept
    assert sentences(data, batch, 1) == ["mary went to the garden", "then john got an apple"]
    assert data.spec.max_length == 3


def test_entities_are_what_follows_an_article_and_what_is_written_with_a_capital(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    named = {data.vocabulary.words[token] for token in data.spec.input.entities}
    assert named == {"garden", "apple", "kitchen", "milk", "mary", "john", "sandra", "then"}


def test_a_word_that_is_also_written_without_a_capital_is_no_name(make: Make, write: Write) -> None:
    data = make(write("en", 1, train=TRAIN.replace("1 Mary", "1 The mary")))
    named = {data.vocabulary.words[token] for token in data.spec.input.entities}
    assert "the" not in named
    assert {"mary", "sandra"} <= named  # mary because of the article


def test_tasks_are_trained_jointly_with_one_vocabulary(make: Make, write: Write) -> None:
    write("en", 1)
    data = make(write("en", 7, train=TRAIN.replace("Mary", "Emily"), test=TEST), task=[7, 1])
    assert [len(data.source(split)) for split in ("train", "val", "test")] == [18, 2, 4]
    assert {"mary", "emily"} <= set(data.vocabulary.words)
    batch = batch_of(data, "train", 0, 9, 10)
    assert sentences(data, batch, 0)[0] == "emily went to the garden"
    assert sentences(data, batch, 1)[0] == "mary went to the garden"
    assert len(sentences(data, batch, 2)) == 4


def test_all_tasks_are_twenty(make: Make, write: Write) -> None:
    for task in range(1, 21):
        path = write("en", task)
    assert len(make(path, task="all").source("test")) == 40


def test_baselines_are_the_usual_answer_and_the_latest_mention(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    batch = batch_of(data, "train", 0, 1, 2, 6)
    usual = {
        name: [data.vocabulary.answers[row[0]] for row in answer(batch)] for name, answer in data.baselines().items()
    }
    assert usual["most_frequent"] == ["garden"] * 4
    # John's latest sentence ends with "garden", an answer; what Mary carries is taken for where she was.
    assert usual["latest_mention"] == ["garden"] * 4
    story = TRAIN.replace("5 Mary got the milk there.", "5 Mary is no").replace("What is Mary carrying", "And Mary")
    changed = make(write("en", 1, train=story))
    answer = changed.baselines()["latest_mention"](batch_of(changed, "train", 1, 3))
    assert [changed.vocabulary.answers[label] for label in answer[:, 0]] == ["no", "garden"]


def test_pictures_are_labelled_with_words(make: Make, write: Write) -> None:
    data = make(write("en", 1))
    assert data.input_labels("train", 0) == ["mary went to the garden", "then john got an apple"]
    assert data.question_label("train", 0) == "where is mary"
    assert data.answer_labels("train", 0, torch.tensor([2])) == ["milk,apple"]


def test_an_archive_is_read_like_its_folder(make: Make, write: Write, tmp_path: Path) -> None:
    write("tasks/en", 1)
    archive = tmp_path / "tasks.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "tasks", "tasks_1-20_v1-2")
    folder, packed_data = make(tmp_path / "tasks"), make(archive)
    assert folder.fingerprint() == packed_data.fingerprint()
    ours, theirs = batch_of(folder, "train", 0, 5), batch_of(packed_data, "train", 0, 5)
    assert all(torch.equal(field, other) for field, other in zip(ours, theirs, strict=True))


def test_the_fingerprint_is_of_the_files_that_are_read(make: Make, write: Write) -> None:
    before = make(write("en", 1)).fingerprint()
    assert make(write("en", 2)).fingerprint() == before
    assert make(write("en", 1, test=TEST.replace("Fred", "Jeff"))).fingerprint() != before


def test_of_several_sizes_one_must_be_chosen(make: Make, write: Write, tmp_path: Path) -> None:
    write("en", 1)
    path = write("en-10k", 1, test=2 * TEST)
    with pytest.raises(UserError, match=r"several sizes; choose one: data\.size=en, en-10k"):
        make(path).spec  # noqa: B018
    assert len(make(path, size="en").source("test")) == 2
    assert len(make(path, size="en-10k").source("test")) == 4
    assert len(make(tmp_path / "en-10k", size="en-10k").source("test")) == 4
    with pytest.raises(UserError, match=r"no folder hn, which data\.size names; it has en, en-10k"):
        make(path, size="hn").spec  # noqa: B018


def test_files_that_are_not_there_are_missed_with_their_source(make: Make, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere is neither a folder nor an archive.*CC BY 3\.0"):
        make(tmp_path / "nowhere").spec  # noqa: B018
    with pytest.raises(UserError, match=r"holds no files such as qa1_.*CC BY 3\.0"):
        make(tmp_path).spec  # noqa: B018
    (tmp_path / "broken.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"broken\.tar\.gz is not a readable archive"):
        make(tmp_path / "broken.tar.gz").spec  # noqa: B018
    write("en", 1)
    path = write("en", 3, train=None)
    for task in (3, [1, 3], "all"):
        with pytest.raises(UserError, match=r"no train file of task [23].*in en; both files .* data\.task=\[1\]"):
            make(path, task=task).spec  # noqa: B018


@pytest.mark.parametrize("task", [0, 21, "some", "1", [], [1, 1], [1, 25]])
def test_a_task_that_there_is_not_is_refused(make: Make, tmp_path: Path, task: Any) -> None:
    with pytest.raises(UserError, match=r"data\.task=.* must be a number from 1 to 20"):
        make(tmp_path, task=task)


def test_a_story_of_no_sentences_cannot_be_asked_for(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.max_sentences=0 must be at least 1"):
        make(tmp_path, max_sentences=0)


def test_one_question_cannot_be_split(make: Make, write: Write) -> None:
    with pytest.raises(UserError, match="one training question of task 1; validation takes a tenth"):
        make(write("en", 1, train=TEST.split("1 Sandra")[0])).spec  # noqa: B018


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("1 A b.\nMary went.\n", r"line 2 begins with 'Mary', not with the number 2, or 1 where a story begins"),
        ("2 A b.\n", r"line 1 begins with '2', not with the number 1"),
        ("1 A b.\n3 C d.\n", r"line 2 begins with '3', not with the number 2, or 1"),
        ("1 A b.\n2 .\n", r"line 2 has a number, and no words behind it"),
        ("1 A b.\n2\n", r"line 2 has a number, and no words behind it"),
        ("1 A b.\n2 Where?\t\t1\n", r"line 2 asks a question, and has no answer"),
        ("1 Where?\there\t1\n", r"line 1 asks a question before the story's first sentence"),
        ("1 A b.\n1 Where?\there\t1\n", r"line 2 asks a question before the story's first sentence"),
        ("1 A b.\n", r"asks no question"),
        ("", r"asks no question"),
    ],
)
def test_a_file_of_another_layout_is_refused_with_its_line(content: str, complaint: str) -> None:
    with pytest.raises(UserError, match=f"the file.*{complaint}"):
        read_stories(content.encode(), "the file")


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(UserError, match="the file line 2 is not UTF-8 text"):
        read_stories(b"1 A b.\n2 \xff\xfe\n", "the file")


def test_the_error_of_a_file_names_task_and_part(make: Make, write: Write) -> None:
    with pytest.raises(UserError, match="the test file of task 1 line 1 begins with 'x'"):
        make(write("en", 1, test="x")).spec  # noqa: B018


def test_a_file_is_read_line_by_line() -> None:
    stories = read_stories(b"1 A b.\n\n2 C?  \tD\t1\n1 E f.\r\n2 G.\r\n3 H i? \tj,K\t1 2\r\n", "the file")
    assert stories == Stories(["A b.", "E f.", "G."], [0, 1], [1, 3], ["C?", "H i?"], ["d", "j,k"])


def test_words_lose_capitals_and_the_closing_mark() -> None:
    assert words_of("Where is Mr. Brown? ") == ["where", "is", "mr.", "brown"]


@pytest.mark.parametrize(
    ("name", "num_train"),
    [("tasks_1-20_v1-2_en.tar.gz", 900), ("tasks_1-20_v1-2_en-10k_without_qa3_train.tar.gz", 9000)],
)
def test_the_official_files_have_as_many_questions_as_they_should(
    make: Make, shared: Path, name: str, num_train: int
) -> None:
    # vocabulary, distinct answers of the whole training file, and the longest story, as counted elsewhere
    facts = {1: (19, 6, 10), 5: (39, 7, 94), 8: (None, None, 58), 15: (17, 4, 8), 19: (31, 12, 5)}
    for task, (vocabulary, num_answers, longest) in facts.items():
        data = make(shared / "data" / "babi" / name, task=task, max_sentences=1000)
        assert [len(data.source(split)) for split in ("train", "val", "test")] == [num_train, num_train // 9, 1000]
        assert data.source("test").lengths.max() == longest
        if vocabulary is not None:
            words = set(data.vocabulary.words[3:]) | set(data.vocabulary.answers[1:])
            assert (len(words), data.spec.output.num_classes - 1) == (vocabulary, num_answers)
        batch = batch_of(data, "test", *range(1000))
        if task != 8:
            assert (batch.targets != UNKNOWN_ANSWER).all()
        assert (batch.inputs != UNKNOWN_WORD).all()
        assert batch.input_mask[:, 0].all()


def test_the_latest_mention_answers_the_first_task_and_not_the_second(make: Make, shared: Path) -> None:
    archive = shared / "data" / "babi" / "tasks_1-20_v1-2_en.tar.gz"
    scores = []
    for task in (1, 2):
        data = make(archive, task=task)
        batch = batch_of(data, "test", *range(1000))
        answer = data.baselines()["latest_mention"](batch)
        scores.append((answer == batch.targets).float().mean().item())
    assert scores[0] == 1.0
    assert scores[1] < 0.3


def test_the_absent_training_file_of_task_three_is_missed(make: Make, shared: Path) -> None:
    archive = shared / "data" / "babi" / "tasks_1-20_v1-2_en-10k_without_qa3_train.tar.gz"
    with pytest.raises(UserError, match=r"no train file of task 3 .* in en-10k"):
        make(archive, task=3).spec  # noqa: B018
