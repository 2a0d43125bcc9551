"""What bench/data/checks.yaml asks, by hand: python duckdb_bare.py NEW REFERENCE [sampled].

The edges of PSI's bins are exact deciles of the reference or, with "sampled",
those of 20,000 of its rows; the shares are exact either way.
"""

import math
import sys

import duckdb

new, reference = sys.argv[1], sys.argv[2]
source = f"'{reference}'"
if sys.argv[3:] == ["sampled"]:
    source = f"(SELECT * FROM '{reference}' USING SAMPLE reservoir(20000 ROWS))"
connection = duckdb.connect()
numbers, texts = ["a", "b", "c", "d", "e", "f", "g"], ["s"]
deciles = [i / 10 for i in range(1, 10)]


def ask(query):
    return connection.execute(query).fetchone()


edges = ask("SELECT " + ", ".join(f"quantile_cont({x}, {deciles})" for x in numbers) + f" FROM {source}")
bins = [f"histogram({x}, {sorted(set(e))}::DOUBLE[])" for x, e in zip(numbers, edges, strict=True)]
bins += [f"histogram({x})" for x in texts]
counts = "count(*), " + ", ".join(bins)
facts = ", ".join(f"count({x}), min({x}), max({x})" for x in [*numbers, "id", "day", "s"])
facts += ", count(DISTINCT id), avg(b), stddev(b), avg(e)"
facts += ", count(*) FILTER (g NOT IN (0, 1, 2)), count(*) FILTER (s NOT IN ('x', 'y', 'z'))"

before = ask(f"SELECT {counts} FROM '{reference}'")
now = ask(f"SELECT {counts}, {facts} FROM '{new}'")
rows = now[0]
ok = True
for name, a, b in zip(numbers + texts, before[1:], now[1:], strict=False):
    psi = 0.0
    for k in set(a) | set(b):
        p, q = (a.get(k, 0) + 0.5) / before[0], (b.get(k, 0) + 0.5) / rows
        psi += (q - p) * math.log(q / p)
    print(f"{name}: psi {psi:.6f}")
    ok = ok and psi < 0.2
found = now[1 + len(bins) :]
print(rows, found)
ok = ok and all(found[i] == rows for i in range(0, 30, 3)) and found[30] == rows and found[34] == 0 and found[35] == 0
sys.exit(0 if ok else 1)
