#!/usr/bin/env python3
"""Writes the test models: llama-architecture GGUF files whose answers are known in advance.

    make_model.py {tiny|slow} OUT.gguf

The last character of the prompt chooses the answer, at any temperature:

    !               " loop00 loop01 ... loop31 loop00 ..." without end
    ?               {"name": "get_weather", "parameters": {"city": "Paris"}}, a tool call
    anything else   " Hello from the tiny test model . Bye"

How: attention and feed-forward are computed like any model's, but the matrices that would add their
results to the residual stream are zero. What reaches the output is the embedding of the current token
alone, so the model is a Markov chain: `output` maps each token's embedding to the one token after it.
Embeddings are random vectors of +1 and -1, nearly orthogonal, so the wanted token wins by a wide margin.

The size of the matrices sets the speed and nothing else. `tiny` is as fast as Ollama gets; `slow` gives
about 25 tokens per second on one thread of a plain CPU build, for tests of cancelling and queueing.
"""

from __future__ import annotations

import argparse
import dataclasses

import gguf
import numpy as np


@dataclasses.dataclass(frozen=True)
class Size:
    """The shape of the network: embedding width, blocks, feed-forward width, heads, and the weights' type."""

    dim: int
    blocks: int
    ffn: int
    heads: int
    dtype: type[np.floating]


SIZES = {
    "tiny": Size(dim=128, blocks=2, ffn=256, heads=4, dtype=np.float32),
    "slow": Size(dim=512, blocks=16, ffn=2048, heads=8, dtype=np.float16),
}
CONTEXT = 4096

# SentencePiece writes a space as U+2581. A piece longer than one character can only be generated, never
# read: the tokenizer builds pieces by joining two known ones, and no two-character piece is known.
SPACE = "\u2581"
HELLO = [SPACE + word for word in ("Hello", "from", "the", "tiny", "test", "model" + SPACE + ".", "Bye")]
LOOP = [f"{SPACE}loop{number:02}" for number in range(32)]
TOOL_CALL = [piece.replace(" ", SPACE) for piece in
             ('{"name"', ': "get_', 'weather"', ', "parameters"', ': {"city"', ': "Par', 'is"}}')]

UNKNOWN, BEGIN, END = "<unk>", "<s>", "</s>"


def vocabulary() -> list[tuple[str, gguf.TokenType]]:
    """Every token with its type; a token's number is its place in the list, as llama's tokenizer expects."""
    special = [(UNKNOWN, gguf.TokenType.UNKNOWN), (BEGIN, gguf.TokenType.CONTROL), (END, gguf.TokenType.CONTROL)]
    single_bytes = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
    characters = [SPACE, *map(chr, range(ord("!"), ord("~") + 1))]
    pieces = [(text, gguf.TokenType.NORMAL) for text in (*characters, *HELLO, *LOOP, *TOOL_CALL)]
    tokens = special + single_bytes + pieces
    texts = [text for text, _ in tokens]
    assert len(set(texts)) == len(texts), "a token occurs twice"
    return tokens


def successors() -> dict[str, str]:
    """The chain: which token follows which. A token that is not in here is followed by HELLO's first."""
    following = {"!": LOOP[0], "?": TOOL_CALL[0]}
    for sequence, after in ((HELLO, END), (LOOP, LOOP[0]), (TOOL_CALL, END)):
        following.update(zip(sequence, [*sequence[1:], after]))
    return following


def embedding_and_output(texts: list[str], dim: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The two matrices that hold the chain, one row a token."""
    number = {text: index for index, text in enumerate(texts)}

    def direction() -> np.ndarray:
        return random.choice(np.array([-1, 1], dtype=np.float32), size=dim)

    everything_else = direction()
    embedding = np.tile(everything_else, (len(texts), 1))
    output = np.zeros((len(texts), dim), dtype=np.float32)
    output[number[HELLO[0]]] += everything_else
    for token, following in successors().items():
        embedding[number[token]] = direction()
        output[number[following]] += embedding[number[token]]
    return embedding, output


def write(name: str, size: Size, path: str) -> None:
    """Writes the model to `path`."""
    random = np.random.default_rng(1)  # the same file every time
    tokens = vocabulary()
    texts = [text for text, _ in tokens]

    out = gguf.GGUFWriter(path, "llama")
    out.add_name(name)
    out.add_file_type(gguf.LlamaFileType.ALL_F32 if size.dtype is np.float32 else gguf.LlamaFileType.MOSTLY_F16)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(size.dim)
    out.add_block_count(size.blocks)
    out.add_feed_forward_length(size.ffn)
    out.add_head_count(size.heads)
    out.add_head_count_kv(size.heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(size.dim // size.heads)
    out.add_rope_freq_base(10_000.0)

    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_tokenizer_pre("default")
    out.add_token_list(texts)
    out.add_token_types([int(kind) for _, kind in tokens])
    out.add_token_scores([-float(index) for index in range(len(tokens))])
    out.add_unk_token_id(texts.index(UNKNOWN))
    out.add_bos_token_id(texts.index(BEGIN))
    out.add_eos_token_id(texts.index(END))
    out.add_add_bos_token(True)
    out.add_add_eos_token(False)

    def noise(rows: int, columns: int) -> np.ndarray:
        return (0.02 * random.standard_normal((rows, columns), dtype=np.float32)).astype(size.dtype)

    def nothing(rows: int, columns: int) -> np.ndarray:
        return np.zeros((rows, columns), dtype=size.dtype)

    ones = np.ones(size.dim, dtype=np.float32)  # norms are always 32-bit
    embedding, output = embedding_and_output(texts, size.dim, random)
    out.add_tensor("token_embd.weight", embedding.astype(size.dtype))
    for block in range(size.blocks):
        weights = {
            "attn_norm": ones,
            "attn_q": noise(size.dim, size.dim),
            "attn_k": noise(size.dim, size.dim),
            "attn_v": noise(size.dim, size.dim),
            "attn_output": nothing(size.dim, size.dim),
            "ffn_norm": ones,
            "ffn_gate": noise(size.ffn, size.dim),
            "ffn_up": noise(size.ffn, size.dim),
            "ffn_down": nothing(size.dim, size.ffn),
        }
        for tensor, values in weights.items():
            out.add_tensor(f"blk.{block}.{tensor}.weight", values)
    out.add_tensor("output_norm.weight", ones)
    out.add_tensor("output.weight", output.astype(size.dtype))

    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a test model whose answers are known in advance.")
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("out", help="the GGUF file to write")
    arguments = parser.parse_args()
    write(arguments.size, SIZES[arguments.size], arguments.out)


if __name__ == "__main__":
    main()
