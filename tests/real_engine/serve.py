"""Serves a tiny model of random weights with llama.cpp's own HTTP server, until its input ends.

Runs in the environment of `make real-engine`, not in ours. Prints `ready: URL`.

    .real-engine/bin/python tests/real_engine/serve.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp

WIDTH, LAYERS, HEADS, INNER, CONTEXT, SLOTS = 64, 4, 4, 128, 8192, 8
WORDS = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"▁w{n}" for n in range(200))]
TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def write_model(path: Path) -> None:
    """Write a Llama of random weights; its words are real tokens, so that every chunk is one."""
    rng = np.random.default_rng(20261121)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(WORDS))
    _add_words(writer)

    def weights(name: str, *shape: int) -> None:
        made = np.ones(shape) if "norm" in name else rng.normal(0.0, 0.3, shape)
        writer.add_tensor(name, made.astype(np.float32))

    weights("token_embd.weight", len(WORDS), WIDTH)
    weights("output.weight", len(WORDS), WIDTH)
    weights("output_norm.weight", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        for name, shape in (("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            weights(f"blk.{layer}.ffn_{name}.weight", *shape)
        weights(f"blk.{layer}.attn_norm.weight", WIDTH)
        weights(f"blk.{layer}.ffn_norm.weight", WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_words(writer: gguf.GGUFWriter) -> None:
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * (len(WORDS) - 259)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(WORDS)
    writer.add_token_scores([-float(place) for place in range(len(WORDS))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(TEMPLATE)


def main() -> None:
    """Write, serve, wait."""
    path = Path(sys.argv[1]) / "tiny.gguf"
    write_model(path)
    wish = xllamacpp.CommonParams()
    wish.model.path = str(path)
    wish.model_alias = {"tiny"}
    wish.hostnames = ["127.0.0.1"]
    wish.port = 0
    wish.n_ctx, wish.n_parallel, wish.n_predict = CONTEXT, SLOTS, 256
    wish.cpuparams.n_threads = 1
    wish.warmup = False
    wish.ui = False
    server = xllamacpp.Server(wish)
    sys.stdout.write(f"ready: {server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
