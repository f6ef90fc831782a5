"""Tables of databases are prepared as files with the same rows are; passwords are printed and stored nowhere."""

import json
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llmrec import prepare
from llmrec.datasets.database_urls import database_name
from llmrec.errors import InputError

ITEMS = [(f"s{n}", f"Thing {n}", "Home|Tea" if n % 2 else None) for n in range(12)]
ORDERS = [
    (user, f"s{(user * 3 + turn * 5) % 12}", f"2024-01-{turn + 1:02d} 10:{user:02d}:00", 1.0 + (user + turn) % 5)
    for user in range(30)
    for turn in range(9)
]
COLUMNS = {
    "user": "customer_id",
    "item": "sku",
    "time": "ordered_at",
    "rating": "stars",
    "title": "name",
    "categories": "tags",
}
MAPPED = [f"columns.{key}={name}" for key, name in COLUMNS.items()]
SECRET = "s3cr3t/word"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.execute("create table products (sku text, name text, tags text, picture blob)")
    connection.execute("create table orders (note text, customer_id integer, sku text, ordered_at text, stars real)")
    connection.executemany("insert into products values (?, ?, ?, x'00ff')", ITEMS)
    connection.executemany("insert into orders values ('a note', ?, ?, ?, ?)", ORDERS)
    connection.commit()
    connection.close()
    return path


def prepared(out: Path, *arguments: str) -> dict[str, list[dict[str, Any]]]:
    prepare._prepare([*MAPPED, f"out={out}", *arguments])
    return {file.stem: pq.read_table(file).to_pylist() for file in sorted(out.glob("*.parquet"))}


def from_csv(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    """What the same rows give as CSV files, sorted as a database's tables are."""
    folder = tmp_path / "files"
    folder.mkdir()
    orders = sorted(ORDERS, key=lambda row: (row[0], row[2], row[1]))
    lines = ["customer_id,sku,ordered_at,stars", *(",".join(map(str, row)) for row in orders)]
    (folder / "interactions.csv").write_text("\n".join(lines))
    lines = ["sku,name,tags", *(f"{sku},{name},{tags or ''}" for sku, name, tags in sorted(ITEMS))]
    (folder / "items.csv").write_text("\n".join(lines))
    return prepared(tmp_path / "csv" / "shop", f"path={folder}")


def test_tables_of_sqlite_are_prepared_as_files_are(shop: Path, tmp_path: Path) -> None:
    url = f"path=sqlite:///{shop}"
    found = prepared(tmp_path / "one" / "shop", url, "interactions=orders", "items=products")
    assert found == from_csv(tmp_path)
    assert len(found["interactions"]) == len(ORDERS)
    assert not list((tmp_path / "one").glob(".*"))


def test_a_query_is_a_table(shop: Path, tmp_path: Path) -> None:
    query = "interactions=SELECT *, sku AS item FROM orders WHERE customer_id < 20;"
    arguments = [f"path=sqlite:///{shop}", query, "items=products", "columns.item=item", "columns.id=sku"]
    assert len(prepared(tmp_path / "shop", *arguments)["interactions"]) == 20 * 9


def test_the_name_is_that_of_the_database(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMREC_DATA", str(tmp_path / "sets"))
    prepare._prepare([*MAPPED, f"path=sqlite:///{shop}", "interactions=orders", "items=products"])
    manifest = json.loads((tmp_path / "sets" / "shop" / "manifest.json").read_text())
    assert (manifest["name"], manifest["layout"]) == ("shop", "generic")
    assert database_name("sqlite:///my%20shop.db") == "my shop"


def test_equal_tables_give_equal_files_whatever_the_order_of_their_rows(shop: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(shop)
    for name, order in (("forth", "asc"), ("back", "desc")):
        connection.execute(f"create table {name} (customer_id integer, sku text, ordered_at text, stars real)")
        repeated = "select customer_id, sku, ordered_at, 6 - stars as stars from orders"
        every = f"select customer_id, sku, ordered_at, stars from orders union all {repeated}"
        connection.execute(f"insert into {name} select * from ({every}) order by stars {order}, sku {order}")
    connection.commit()
    connection.close()
    tables = [f"path=sqlite:///{shop}", "items=products"]
    one, other = (prepared(tmp_path / name / "shop", *tables, f"interactions={name}") for name in ("forth", "back"))
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["path=sqlite:///{folder}/none.db"], r"there is no file .*/none\.db\. Give sqlite:"),
        (["path=sqlite:///{shop}"], r"shop\.db, interactions=interactions: .*no such table: .* Correct the name"),
        (["path=sqlite:///{shop}", "interactions=orders", "items=products", "columns.user=who"],
         r"interactions=orders: no column 'who' among note, customer_id, sku, .*columns\.user=NAME"),
        (["path=sqlite:///{shop}", "interactions=SELECT nosuch", "items=products"], r"no such column: nosuch"),
        (["path=sqlite:///{shop}", "reader=movielens"], "reader=movielens reads no database"),
        (["path=oracle://host/db"], "not the URL of a database"),
        (["path=sqlite:///{shop}", "interactions=SELECT *, 'hm' AS rated FROM orders", "items=products",
          "columns.rating=rated"], r"shop\.db, interactions=SELECT \*, 'hm' AS rated .*, row 1: rated is 'hm'"),
    ],
)  # fmt: skip
def test_it_is_refused(arguments: list[str], message: str, shop: Path, tmp_path: Path) -> None:
    given = [argument.format(shop=shop, folder=tmp_path) for argument in arguments]
    mapped = [] if "reader=movielens" in given else MAPPED
    with pytest.raises(InputError, match=message):
        prepare._prepare([*mapped, f"out={tmp_path}/out", *given])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("url", [
    f"postgresql://me:{SECRET}@127.0.0.1:1/shop", "postgresql://me:s3cr3t%2Fword@127.0.0.1:1/shop",
    "postgresql://127.0.0.1:1/shop?user=me&password=s3cr3t%2Fword", "postgresql://me:s3cr3t@[bad/shop",
    "postgresql://me:s3cr3t@host:s3cr3t/shop",
])  # fmt: skip
def test_a_password_is_in_no_message(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        prepare._prepare([f"path={url}", f"out={tmp_path}/out"])
    assert "s3cr3t" not in str(error.value)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A PostgreSQL of its own; yields the URL of its database, without the password."""
    if not BINARIES or shutil.which("runuser") is None:
        pytest.skip("needs Debian's postgresql, and root to run it as the user postgres")
    # Not below pytest's folder, which other users cannot enter.
    with tempfile.TemporaryDirectory(prefix="llmrec-postgresql-") as folder, socket.socket() as free:
        shutil.chown(folder, "postgres")
        password = Path(folder, "password")
        password.write_text(SECRET)
        password.chmod(0o644)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1", "-l", f"{folder}/log", "-w"]
        run_postgres("initdb", folder, "-A", "scram-sha-256", f"--pwfile={password}", "-U", "me")
        run_postgres("pg_ctl", folder, *options, "start")
        yield f"127.0.0.1:{port}/postgres"
        run_postgres("pg_ctl", folder, "-m", "immediate", "stop")


def run_postgres(tool: str, folder: str, *arguments: str) -> None:
    command = ["runuser", "-u", "postgres", "--", BINARIES[-1].with_name(tool), "-D", f"{folder}/data", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def fill(url: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("create schema sales")
        cursor.execute("create table sales.products (sku text, name text, tags text, made uuid)")
        cursor.execute(
            "create table sales.orders (customer_id int, sku text, ordered_at timestamptz, stars numeric(3, 1))"
        )
        products = ", ".join(f"('{s}', '{n}', {repr(t) if t else 'null'}, '{uuid.UUID(int=1)}')" for s, n, t in ITEMS)
        cursor.execute(f"insert into sales.products values {products}")
        orders = ", ".join(f"({u}, '{s}', '{time}+00', {stars})" for u, s, time, stars in ORDERS)
        cursor.execute(f"insert into sales.orders values {orders}")
        connection.commit()


@pytest.mark.slow
def test_tables_of_postgresql_are_prepared_as_files_are(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(f"postgresql://me:s3cr3t%2Fword@{server}")
    tables = ["interactions=sales.orders", "items=sales.products"]
    found = prepared(tmp_path / "one" / "shop", f"path=postgresql://me:s3cr3t%2Fword@{server}", *tables)
    expected = from_csv(tmp_path)
    assert found == expected
    written = "".join(file.read_text("latin-1") for file in (tmp_path / "one").rglob("*") if file.is_file())
    assert "s3cr3t" not in written + capsys.readouterr().out

    monkeypatch.setenv("PGPASSWORD", SECRET)
    query = "interactions=SELECT * FROM sales.orders WHERE customer_id < 25"
    again = prepared(tmp_path / "two" / "shop", f"path=postgresql://me@{server}", query, tables[1])
    assert len(again["interactions"]) == 25 * 9

    dropping = "interactions=SELECT * FROM (DELETE FROM sales.orders RETURNING *) AS gone"
    with pytest.raises(InputError, match="interactions=SELECT"):
        prepare._prepare([*MAPPED, f"path=postgresql://me@{server}", f"out={tmp_path}/three/shop", dropping, tables[1]])
    monkeypatch.setenv("PGPASSWORD", "wrong-s3cr3t")
    with pytest.raises(InputError, match="password authentication failed") as error:
        prepare._prepare([*MAPPED, f"path=postgresql://me@{server}", f"out={tmp_path}/four/shop", *tables])
    assert "s3cr3t" not in str(error.value)
