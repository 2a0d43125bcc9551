import numpy as np
import pytest

from diabetes.data import FEATURES, TARGET, load

HEADER = ",".join([*FEATURES, TARGET])


def write(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


def test_the_projects_own_file():
    x, y = load("data/diabetes.csv")
    assert x.shape == (len(y), len(FEATURES))
    assert np.isfinite(x).all()
    assert x[0].tolist() == [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]
    assert y[0] == 151


def test_columns_are_found_by_name(tmp_path):
    names = [TARGET, *reversed(FEATURES)]
    path = write(tmp_path, ",".join(names) + "\n" + ",".join(map(str, range(len(names)))) + "\n")
    x, y = load(path)
    assert x.tolist() == [[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]
    assert y.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,sex\n1,2\n", "expected the columns"),
        ("", "expected the columns"),
        (HEADER + "\n", "only the header"),
        (HEADER + "\n" + ",".join(["x"] * 11) + "\n", "expected a number"),
        (HEADER + "\n1,2\n", "expected a number"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message):
        load(path)
