// Stands in for miniaudio when Ollama is built from its Go module, which lacks llama.cpp's vendor/ folder.
// Only the decoding of audio input uses it, and no test sends audio: here, decoding always fails.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

using ma_result = int;
using ma_uint64 = std::uint64_t;
enum { MA_SUCCESS = 0, MA_ERROR = -1 };
enum ma_format { ma_format_f32 = 5 };

struct ma_decoder {};
struct ma_decoder_config {};

inline ma_decoder_config ma_decoder_config_init(ma_format, int, int) { return {}; }
inline ma_result ma_decoder_init_memory(const void *, std::size_t, const ma_decoder_config *, ma_decoder *) { return MA_ERROR; }
inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *, ma_uint64 *) { return MA_ERROR; }
inline ma_result ma_decoder_read_pcm_frames(ma_decoder *, void *, ma_uint64, ma_uint64 *) { return MA_ERROR; }
inline ma_result ma_decoder_uninit(ma_decoder *) { return MA_SUCCESS; }
