"""Projection and groups of the points on the page of local Vectorize."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_provider_vectorize.local.engine.records import Floats
from airflow_provider_vectorize.local.page.groups import group, scalars
from airflow_provider_vectorize.local.page.projection import project


def random_values(rows: int, dimensions: int = 32) -> Floats:
    return np.random.default_rng(1).standard_normal((rows, dimensions)).astype(np.float32)


def test_project_vectors_in_a_plane_keeps_their_distances() -> None:
    generator = np.random.default_rng(2)
    plane, _ = np.linalg.qr(generator.standard_normal((32, 2)))
    flat = generator.standard_normal((100, 2)) * [5, 1]
    projection = project((flat @ plane.T + 7).astype(np.float32), "euclidean")
    distances = np.linalg.norm(flat - flat[0], axis=1)
    projected = np.linalg.norm(projection.points - projection.points[0], axis=1)
    assert projected[1:] / distances[1:] == pytest.approx(projected[1] / distances[1], rel=1e-3)
    assert sum(projection.explained) == pytest.approx(1, abs=1e-4)
    assert projection.explained[0] > projection.explained[1]
    assert np.abs(projection.points).max() == pytest.approx(1)


def test_project_matches_the_singular_value_decomposition() -> None:
    values = random_values(200)
    centered = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    expected = centered @ axes[:2].T
    projection = project(values, "euclidean")
    for axis in range(2):
        assert abs(np.corrcoef(expected[:, axis], projection.points[:, axis])[0, 1]) == pytest.approx(1, abs=1e-4)
    assert projection.explained == pytest.approx((singular**2 / (singular**2).sum())[:2], abs=1e-4)


def test_project_with_cosine_ignores_lengths() -> None:
    values = random_values(50)
    lengths = np.geomspace(1e-30, 1e30, 50, dtype=np.float32)[:, None]
    assert project(values * lengths, "cosine").points == pytest.approx(project(values, "cosine").points, abs=1e-3)
    assert project(values * lengths, "euclidean").points != pytest.approx(project(values, "euclidean").points, abs=1e-1)


def test_project_of_the_same_vectors_in_another_order_has_the_same_points() -> None:
    values = random_values(60)
    assert project(values[::-1], "euclidean").points[::-1] == pytest.approx(
        project(values, "euclidean").points, abs=1e-3
    )


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot-product"])
@pytest.mark.parametrize(
    "values",
    [np.zeros((0, 32)), np.zeros((1, 32)), np.ones((1, 32)), np.zeros((5, 32)), np.ones((5, 32)), np.ones((5, 1)),
     np.full((2, 32), 3e38) * [[1], [-1]]],
    ids=["none", "one zero", "one", "zeros", "equal", "one dimension", "largest float32"],
)  # fmt: skip
def test_project_of_degenerate_vectors_is_finite(values: Floats, metric: str) -> None:
    projection = project(values.astype(np.float32), metric)
    assert projection.points.shape == (len(values), 2)
    assert np.isfinite(projection.points).all()
    assert np.isfinite(projection.explained).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot-product"])
def test_project_of_equal_vectors_is_one_point_in_the_middle(metric: str) -> None:
    values = np.tile(random_values(1), (4_999, 1)).astype(np.float32)
    projection = project(values, metric)
    assert not projection.points.any()
    assert projection.explained == (0.0, 0.0)


def test_group_of_text_has_the_most_frequent_values_first_and_the_rest_last() -> None:
    values = ["a", "b", "b", None, *"cdefghijk"]
    groups = group(values)
    assert groups.labels == ("b", "a", "c", "d", "e", "f", "g", "h", "other values", "no value")
    assert groups.counts == (2, 1, 1, 1, 1, 1, 1, 1, 3, 1)
    assert (groups.others, groups.ordered) == (2, False)
    assert [groups.labels[number] for number in groups.of_point[:5]] == ["a", "b", "b", "no value", "c"]


def test_group_of_values_named_like_a_rest_keeps_them_apart() -> None:
    groups = group(["no value", "other values", None])
    assert groups.labels == ("no value", "other values", "no value")
    assert groups.of_point == (0, 1, 2)


def test_group_of_many_numbers_has_ranges_with_equal_counts() -> None:
    groups = group([None, *range(800, 0, -1)])
    assert groups.ordered
    assert groups.labels[0] == "1 to 100"
    assert groups.labels[-2:] == ("700 to 800", "no value")
    assert groups.counts == (99, 100, 100, 100, 100, 100, 100, 101, 1)
    assert groups.of_point[:2] == (8, 7)


def test_group_of_numbers_that_are_mostly_equal_covers_all_of_them() -> None:
    groups = group([1.5] * 990 + list(range(2, 12)))
    assert groups.ordered
    assert sum(groups.counts) == 1_000
    assert groups.labels == ("1.5 to 11",)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([], ()),
        ([None, None], ("no value",)),
        ([True, False, True], ("true", "false")),
        ([3, 1, 3], ("3", "1")),
        ([1.0, 0.125, 0.125], ("0.125", "1")),
        ([*range(9), "x"], ("0", "1", "2", "3", "4", "5", "6", "7", "other values")),
        ([*range(9), True], ("0", "1", "2", "3", "4", "5", "6", "7", "other values")),
    ],
)
def test_group_of_few_or_mixed_values_has_one_group_for_each(values: list[object], labels: tuple[str, ...]) -> None:
    groups = group(values)  # type: ignore[arg-type]
    assert groups.labels == labels
    assert not groups.ordered


def test_scalars_of_nested_metadata_have_dotted_names() -> None:
    metadata = {"a": 1, "b": {"c": "x", "d": {"e": True}}, "f": None, "g": [1], "h": {}}
    assert list(scalars(metadata)) == [("a", 1), ("b.c", "x"), ("b.d.e", True)]
