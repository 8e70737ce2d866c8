# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Batches of rows: within their bounds, every row once an epoch, the same again after a resume."""

import logging

import numpy as np
import pytest
from accelerate import Accelerator, skip_first_batches
from accelerate.data_loader import prepare_data_loader
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset
from transformers import TrainerState

from entropy_asr.trainers.data.batching import (
    DurationBatchSampler,
    EvaluationBatchSampler,
    SamplerEpochCallback,
    set_sampler_epoch,
)


def dummy_durations(count=500, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 3.0, size=count).clip(0.3, 20.0)


class KeyDataset(Dataset):
    """Gives back the key it was asked for, so that a dataloader's output is what the sampler drew."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, key):
        return key


def make_loader(sampler, num_workers=0):
    return DataLoader(
        KeyDataset(len(sampler.durations)), batch_sampler=sampler, collate_fn=list, num_workers=num_workers
    )


def indices(batches):
    return [index for batch in batches for index, _ in batch]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    durations=st.lists(st.floats(0.01, 40.0), min_size=1, max_size=120),
    bound=st.floats(1.0, 60.0),
    max_batch_size=st.none() | st.integers(1, 9),
    num_buckets=st.integers(1, 40),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_an_epoch_holds_every_utterance_once_within_the_bounds(
    durations, bound, max_batch_size, num_buckets, shuffle, epoch
):
    sampler = DurationBatchSampler(durations, bound, max_batch_size, num_buckets, shuffle, curriculum_epochs=1, seed=5)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert sorted(indices(batches)) == list(range(len(durations)))
    assert len(sampler) == len(batches)
    for batch in batches:
        longest = max(durations[index] for index, _ in batch)
        assert longest * len(batch) <= bound or len(batch) == 1
        assert len(batch) <= (max_batch_size or len(durations))


@pytest.mark.parametrize("num_buckets", [1, 3, 30])
def test_bound_holds_whatever_meets_in_a_bucket(num_buckets):
    durations = dummy_durations(400)
    sampler = DurationBatchSampler(durations, 50.0, num_buckets=num_buckets)
    for epoch in range(5):
        sampler.set_epoch(epoch)
        padded = [max(durations[index] for index, _ in batch) * len(batch) for batch in sampler]
        assert 30.0 < max(padded) <= 50.0


def test_same_seed_gives_the_same_epoch_and_another_epoch_or_seed_does_not():
    durations = dummy_durations()
    first, same, other = (DurationBatchSampler(durations, 60.0, seed=seed) for seed in (1, 1, 2))
    assert list(first) == list(first) == list(same)
    assert list(first) != list(other)
    same.set_epoch(1)
    assert indices(first) != indices(same)
    assert {frozenset(indices([batch])) for batch in first} != {frozenset(indices([batch])) for batch in same}


def test_number_of_batches_does_not_change_between_epochs():
    # Trainer asks for the length once and derives from it where a checkpoint resumes.
    sampler = DurationBatchSampler(dummy_durations(), 45.0, curriculum_epochs=2)
    lengths = set()
    for epoch in range(8):
        sampler.set_epoch(epoch)
        lengths.add(len(list(sampler)))
    assert lengths == {len(sampler)}


def test_draws_differ_between_rows_and_epochs():
    sampler = DurationBatchSampler(dummy_durations(300), 60.0)
    draws = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        draws += [draw for batch in sampler for _, draw in batch]
    assert len(set(draws)) == 900
    np.random.default_rng(draws[0])


def test_draw_of_a_row_does_not_depend_on_how_rows_are_batched():
    durations = dummy_durations(100)
    wide = DurationBatchSampler(durations, 100.0, num_buckets=2, seed=3)
    narrow = DurationBatchSampler(durations, 30.0, max_batch_size=2, shuffle=False, seed=3)
    assert dict(sum(wide, [])) == dict(sum(narrow, []))


def test_curriculum_goes_from_short_to_long_and_ends():
    durations = dummy_durations()
    sampler = DurationBatchSampler(durations, 60.0, num_buckets=10, curriculum_epochs=2)

    def longest_of_batches(epoch):
        sampler.set_epoch(epoch)
        return np.array([max(durations[index] for index, _ in batch) for batch in sampler])

    for epoch in (0, 1):
        means = [part.mean() for part in np.array_split(longest_of_batches(epoch), 5)]
        assert means == sorted(means)
    assert np.corrcoef(longest_of_batches(2), np.arange(len(sampler)))[0, 1] < 0.5
    sampler.set_epoch(0)
    first = indices(sampler)
    sampler.set_epoch(1)
    assert indices(sampler) != first


def padding_share(sampler: DurationBatchSampler) -> float:
    """Share of the padded seconds that is padding."""
    batches = [sampler.durations[[index for index, _ in batch]] for batch in sampler]
    return 1 - sum(batch.sum() for batch in batches) / sum(batch.max() * len(batch) for batch in batches)


def test_buckets_keep_padding_low_and_batches_full():
    durations = dummy_durations(5000)
    sampler = DurationBatchSampler(durations, 120.0)
    one_bucket = DurationBatchSampler(durations, 120.0, num_buckets=1)
    assert padding_share(sampler) < 0.06 < padding_share(one_bucket)
    # No sampler can do with fewer batches than the total duration fills.
    assert len(sampler) < 1.12 * durations.sum() / 120.0


def test_without_shuffle_batches_are_sorted_and_equal_in_every_epoch():
    sampler = DurationBatchSampler([3.0, 1.0, 2.0, 1.0], 4.0, shuffle=False)
    assert [indices([batch]) for batch in sampler] == [[1, 3], [2], [0]]
    sampler.set_epoch(4)
    assert [indices([batch]) for batch in sampler] == [[1, 3], [2], [0]]


def test_too_long_utterances_are_alone_and_leave_their_neighbours_full(caplog):
    with caplog.at_level(logging.WARNING):
        sampler = DurationBatchSampler([4.0] * 6 + [50.0, 31.0], 12.0, num_buckets=1)
    assert [record.message for record in caplog.records if "longer than max_batch_duration" in record.message] == [
        "2 of 8 utterances are longer than max_batch_duration=12 s and get a batch of their own; the longest is index "
        "6 with 50.0 s. Set max_duration on their source to leave them out."
    ]
    assert sorted(len(batch) for batch in sampler) == [1, 1, 3, 3]


def test_drop_last_drops_the_one_unfilled_batch():
    kept = DurationBatchSampler([1.0] * 7, 3.0)
    dropped = DurationBatchSampler([1.0] * 7, 3.0, drop_last=True)
    assert sorted(len(batch) for batch in kept) == [1, 3, 3]
    assert sorted(len(batch) for batch in dropped) == [3, 3]
    assert len(dropped) == 2
    assert len(DurationBatchSampler([1.0] * 6, 3.0, drop_last=True)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"durations": []}, "non-empty"),
        ({"durations": [1.0, float("nan")]}, "index 1"),
        ({"durations": [0.0, 1.0]}, "index 0"),
        ({"max_batch_duration": 0}, "max_batch_duration"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"num_buckets": 0}, "num_buckets"),
        ({"curriculum_epochs": -1}, "curriculum_epochs"),
    ],
)
def test_wrong_arguments_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        DurationBatchSampler(**{"durations": [1.0, 2.0], "max_batch_duration": 10.0} | change)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_do_not_change_batches_or_draws(num_workers):
    sampler = DurationBatchSampler(dummy_durations(60), 60.0)
    assert list(make_loader(sampler, num_workers)) == list(make_loader(sampler))


def test_prepared_loader_forwards_the_epoch_and_skips():
    sampler = DurationBatchSampler(dummy_durations(), 60.0)
    expected = DurationBatchSampler(dummy_durations(), 60.0)
    loader = Accelerator(cpu=True).prepare(make_loader(sampler))
    assert len(loader) == len(expected)
    for epoch in (0, 3):
        expected.set_epoch(epoch)
        loader.set_epoch(epoch)
        assert list(loader) == list(expected)
    loader.set_epoch(3)
    assert list(skip_first_batches(loader, 5)) == list(expected)[5:]


def shard_loaders(sampler_of_rank, num_processes=2, even_batches=True):
    return [
        prepare_data_loader(
            make_loader(sampler_of_rank()),
            num_processes=num_processes,
            process_index=rank,
            put_on_device=False,
            even_batches=even_batches,
        )
        for rank in range(num_processes)
    ]


@pytest.mark.parametrize("bound", [55.0, 60.0, 65.0, 70.0])
def test_two_processes_share_an_epoch_and_take_the_same_number_of_steps(bound):
    expected = DurationBatchSampler(dummy_durations(), bound)
    expected.set_epoch(2)
    loaders = shard_loaders(lambda: DurationBatchSampler(dummy_durations(), bound))
    for loader in loaders:
        loader.set_epoch(2)
    shards = [list(loader) for loader in loaders]
    assert [len(shard) for shard in shards] == [len(loader) for loader in loaders] == [-(-len(expected) // 2)] * 2
    # An odd number of batches repeats the first one, so that no process waits for the other.
    whole = [batch for pair in zip(*shards, strict=True) for batch in pair]
    batches = list(expected)
    assert whole == batches + batches[: len(whole) - len(batches)]


def test_two_processes_with_uneven_batches_repeat_nothing():
    loaders = shard_loaders(lambda: DurationBatchSampler([1.0] * 9, 3.0), even_batches=False)
    assert sorted(index for loader in loaders for index in indices(loader)) == list(range(9))


def test_resuming_on_two_processes_gives_the_rest_of_the_epoch():
    expected = DurationBatchSampler(dummy_durations(), 60.0)
    expected.set_epoch(3)
    remaining = list(expected)[8::2]
    loader = skip_first_batches(shard_loaders(lambda: DurationBatchSampler(dummy_durations(), 60.0))[0], 4)
    loader.set_epoch(3)
    # The epoch that training has reached when a checkpoint of epoch 3 is loaded.
    SamplerEpochCallback().on_epoch_begin(None, TrainerState(epoch=3.4), None, train_dataloader=loader)
    assert list(loader)[: len(remaining)] == remaining


@pytest.mark.parametrize("num_processes", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 7, 80, 500])
def test_evaluation_batches_of_a_step_are_equally_large(count, num_processes):
    durations = dummy_durations(count)
    sampler = EvaluationBatchSampler(durations, 60.0, max_batch_size=10, num_processes=num_processes)
    batches = [[index for index, _ in batch] for batch in sampler]
    assert len(batches) == len(sampler) and len(batches) % num_processes == 0
    for start in range(0, len(batches), num_processes):
        assert len({len(batch) for batch in batches[start : start + num_processes]}) == 1
    for batch in batches:
        assert len(batch) == 1 or (len(batch) <= 10 and durations[batch].max() * len(batch) <= 60.0)
    given = [index for batch in batches for index in batch]
    # Each row once, and what comes beyond is a repeat.
    assert sorted(given[:count]) == list(range(count))
    assert len(given) < count + num_processes


def test_setting_the_epoch_of_another_sampler_is_refused():
    with pytest.raises(ValueError, match="DurationBatchSampler"):
        set_sampler_epoch(DataLoader(KeyDataset(4), batch_size=2), 1)
