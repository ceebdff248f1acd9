// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011). A draw is a pure function of
// (seed, stream, purpose, index): no generator state exists, so nothing has to be saved to resume a run, and
// the noise of a sample does not depend on ranks, workers, batch size or restarts.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace pixart {

// What a number is for. Two purposes never share numbers. Values are part of the run format: append only.
enum class Purpose : uint32_t {
  kInit = 1,   // initial weights
  kOrder = 2,  // permutation of an epoch
  kNoise = 3,  // epsilon of the diffusion loss
  kTimestep = 4,
  kDropout = 5,    // label or caption dropout
  kPosterior = 6,  // draw from the autoencoder's moments
  kCrop = 7,
  kFlip = 8,
  kCaption = 9,        // which caption of several
  kSampling = 10,      // start noise of image generation
  kSamplerNoise = 11,  // noise drawn during ancestral sampling
  kScene = 12,         // the demo's generator
  kStandIn = 13,       // which sample stands in for a rejected one
  kMixture = 14,       // how the sources of an epoch are mixed
  kValidation = 15,    // noise of held-out samples
  kTest = 99,
};

// `stream` is the global sample id, the parameter's number, or any other 64-bit name.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  Purpose purpose = Purpose::kTest;
};

// The raw generator, for comparison with published vectors.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The index-th block of 128 bits of a key: seed and purpose are hashed into Philox' key, index and stream are
// its counter.
std::array<uint32_t, 4> philox(const RandomKey& key, uint64_t index);

double uniform(const RandomKey& key, uint64_t index = 0);  // in [0, 1), 53 bits
uint64_t uniform_below(const RandomKey& key, uint64_t bound,
                       uint64_t index = 0);                     // in [0, bound), bound >= 1
void fill_normal(const RandomKey& key, std::span<float> out);   // N(0, 1), Box-Muller
void fill_uniform(const RandomKey& key, std::span<float> out);  // [0, 1)

// A permutation of 0..n-1 (Fisher-Yates), a pure function of the key.
std::vector<int64_t> permutation(const RandomKey& key, int64_t n);

}  // namespace pixart
