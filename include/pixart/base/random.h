// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011). Each number is a pure function of (seed,
// stream, purpose, index). A resumed run needs no saved generator state, and the noise of a sample
// does not depend on ranks, workers, batch size or restarts.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace pixart {

// The use of a number. Two purposes never share numbers. Values are part of the run format: only append.
enum class Purpose : uint32_t {
  kInit = 1,   // initial weights
  kOrder = 2,  // permutation of an epoch
  kNoise = 3,  // epsilon of the diffusion loss
  kTimestep = 4,
  kDropout = 5,    // label or caption dropout
  kPosterior = 6,  // latents drawn from the autoencoder's moments
  kCrop = 7,
  kFlip = 8,
  kCaption = 9,        // choice among several captions
  kSampling = 10,      // initial noise of image generation
  kSamplerNoise = 11,  // noise drawn during ancestral sampling
  kScene = 12,         // the demo's generator
  kStandIn = 13,       // choice of the sample that replaces a rejected one
  kMixture = 14,       // order in which the sources of an epoch are mixed
  kValidation = 15,    // noise of held-out samples
  kStrata = 16,        // order of a step's samples over the parts of stratified timesteps
  kSubset = 17,        // images of a part of a set that is scored
  kWeightedPass = 18,  // which rows of a weighted source occur once more in a pass
  // The order of samples that is computed (data::OrderVersion::kComputed):
  kPassOrder = 19,   // order of the samples of a pass
  kEpochOrder = 20,  // order in which the sources of an epoch are mixed
  kRunOrder = 21,    // order of the buckets' runs in an epoch
  kFirstRun = 22,    // the bucket that fills up the batch of the epoch before
  kResolution = 23,  // which of several resolutions an image has
  kGuidance = 27,    // the teacher's guidance scale of a consistency loss
  kStudy = 30,       // what people see in a study, and the resampling of their answers
  kTokens = 32,      // image tokens that skip blocks
  kTest = 99,
};

// `stream` is the global id of the sample, the number of the parameter, or any other 64-bit name.
struct RandomKey {
  uint64_t seed = 0;
  uint64_t stream = 0;
  Purpose purpose = Purpose::kTest;
};

// The raw generator, for comparison with published vectors.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// The index-th block of 128 bits of a key. A hash of seed and purpose is Philox' key; index and stream are
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
