"""The store: Parquet files of draws and of experiments' tables, on local disks and servers."""

from rmtsim.store.failures import StoreError
from rmtsim.store.store import Store, open_store
from rmtsim.store.writer import Writer

__all__ = ["Store", "StoreError", "Writer", "open_store"]
