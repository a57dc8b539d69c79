"""From what a source said to rows of the table: captions, images, conversations. No Dagster, no Ray.

To read it in the order of the data: captions, conversation and rows (what a source said, as captions/<batch>.parquet),
changes (what there is to do), pictures (where each image comes from) with local and landing (what is on disk until the
commit), batch (stored rows, rejects, rights).

The downloader, behind `fetch`: download (one fetch_all, hop by hop) over schedule and backlog (which request is next),
gate with host_times and locks (when a host may be asked, over all processes of a machine), robots and optout (what its
owner allows); hops and exchange (one request) over connections, proxies, answer and body (the wire), urls and addresses
(what may be reached), watchdog (time). picture, exif, location and polyglot look at the bytes. outcome and limits are
the words that all of them share.
"""
