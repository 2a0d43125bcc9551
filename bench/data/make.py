"""Writes ROWS rows of ten columns to FILE: python make.py FILE ROWS SEED."""

import sys

import duckdb

file, rows, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
connection = duckdb.connect()
connection.execute("SET threads = 1")  # so that the seed decides
connection.execute("SELECT setseed(?)", [seed])
normal = "sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())"
connection.execute(f"""
    COPY (
        SELECT i AS id, random() AS a, {normal} AS b, (random() * 100)::INTEGER AS c, random() AS d,
            50 + 10 * {normal} AS e, exp({normal}) AS f, (random() * 2)::INTEGER AS g,
            DATE '2026-01-01' + (random() * 28)::INTEGER AS day, ['x', 'y', 'z'][1 + floor(random() * 3)::INTEGER] AS s
        FROM range({rows}) t(i)
    ) TO '{file}' (FORMAT parquet)
""")
