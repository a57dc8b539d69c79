"""Where captions come from. No Dagster, no Ray.

base says what a source is, columns which of a row's cells count, open makes one from its spec. files is folder (here)
or bucket (an object store) over the formats: row_format, formats, json_array, tables, with parquet and embedded for
pictures inside a file. modelscope is the hub: listing, fetch, load, cells, shard, and process with child, the only one
that imports the SDK. digest tells whether rows changed; demo/ is the game.
"""
