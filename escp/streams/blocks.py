"""A program's memory as one end of a copy: what planes take in place of files."""

from escp._fast.io.block_grid import BlockGrid as BlockGrid
from escp._fast.io.block_sink import Block as Block
from escp._fast.io.block_sink import BlockSink as BlockSink
from escp._fast.io.block_source import BlockSource as BlockSource
from escp._fast.io.block_source import check_contiguous as check_contiguous

# What BlockSource.write returns: why a block could not be handed over in time.
DONE, LATE, STOPPED, FULL = range(4)
SLICE_BYTES = 1 << 18  # streams' blocks are multiples of it
SMALL_BYTES = 1 << 17  # files up to here are sent in one piece
