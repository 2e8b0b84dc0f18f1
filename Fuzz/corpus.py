#!/usr/bin/env python3
"""Writes the frames of the golden vectors, one a file, as the corpus to start from: corpus.py VECTORS FOLDER."""
import json
import pathlib
import sys

vectors, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
for name in ("frames-client", "frames-server"):
    for index, frame in enumerate(json.loads((vectors / f"{name}.json").read_text())["frames"]):
        (folder / f"{name}-{index:03}").write_bytes(bytes.fromhex(frame["hex"]))
batch = json.loads((vectors / "batch.json").read_text())
for direction in ("toClient", "toServer"):
    (folder / f"batch-{direction}").write_bytes(bytes.fromhex(batch[direction]["frame"]))
