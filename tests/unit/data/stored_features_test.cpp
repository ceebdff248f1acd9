#include "pixart/data/stored_features.h"

#include <ATen/ATen.h>
#include <zlib.h>

#include <cmath>
#include <limits>

#include "folder.h"

namespace pixart::data {
namespace {

using ::testing::HasSubstr;

std::string number(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += char(value >> (8 * i));
  return bytes;
}

// As np.save writes it.
std::string npy_of(const at::Tensor& tensor, const std::string& descr) {
  std::string shape;
  for (const int64_t size : tensor.sizes()) shape += fmt::format("{}, ", size);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  header.resize(128 - 10, ' ');
  header.back() = '\n';
  const at::Tensor whole = tensor.contiguous();
  return std::string("\x93NUMPY\x01\x00", 8) + number(header.size(), 2) + header +
         std::string(static_cast<const char*>(whole.const_data_ptr()), whole.nbytes());
}

// As np.savez writes it: a zip archive of stored files.
std::string npz_of(const std::vector<std::pair<std::string, std::string>>& arrays) {
  std::string bytes, directory;
  for (const auto& [name, data] : arrays) {
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(data.data()), uInt(data.size()));
    const std::string common = number(20, 2) + number(0, 8) + number(crc, 4) + number(data.size(), 4) +
                               number(data.size(), 4) + number(name.size(), 2) + number(0, 2);
    directory += "PK\1\2" + number(20, 2) + common + number(0, 10) + number(bytes.size(), 4) + name;
    bytes += "PK\3\4" + common + name + data;
  }
  return bytes + directory + "PK\5\6" + number(0, 4) + number(arrays.size(), 2) + number(arrays.size(), 2) +
         number(directory.size(), 4) + number(bytes.size(), 4) + number(0, 2);
}

class StoredFeatures : public Folder {
 protected:
  std::filesystem::path file(const std::string& bytes) const {
    write("f", bytes);
    return folder_ / "f";
  }
  template <class Read>
  static std::string refusal_of(const Read& read) {
    try {
      read();
    } catch (const BadSample& bad) {
      EXPECT_EQ(bad.rejection().reason, Reason::kBadFeature);
      return bad.rejection().detail;
    }
    ADD_FAILURE() << "not refused";
    return "";
  }
  std::string latent_refusal(const std::string& bytes) const {
    return refusal_of([&] { read_stored_latent(file(bytes)); });
  }
  std::string caption_refusal(const std::string& bytes) const {
    return refusal_of([&] { read_stored_caption(file(bytes), 120); });
  }
};

at::Tensor moments() { return at::arange(8 * 2 * 3, at::kFloat).reshape({8, 2, 3}) / 16 + 0.5; }

TEST_F(StoredFeatures, LatentIsMeanAndDeviation) {
  const auto latent = read_stored_latent(file(npy_of(moments(), "<f4")));
  EXPECT_TRUE(at::equal(latent.mean, moments().narrow(0, 0, 4)));
  // exp and log of float32 err by a few units in the last place.
  EXPECT_TRUE(at::allclose((0.5 * latent.log_var).exp(), moments().narrow(0, 4, 4), 1e-6, 0));
  const auto half = read_stored_latent(file(npy_of(moments().to(at::kHalf), "<f2")));
  EXPECT_EQ(half.mean.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(half.mean, moments().to(at::kHalf).to(at::kFloat).narrow(0, 0, 4)));
}

TEST_F(StoredFeatures, BadLatents) {
  EXPECT_THAT(latent_refusal(npy_of(moments().narrow(0, 0, 4), "<f4")), HasSubstr("(4, 2, 3)"));
  EXPECT_THAT(latent_refusal(npy_of(moments().unsqueeze(0), "<f4")), HasSubstr("shape"));
  EXPECT_THAT(latent_refusal(npy_of(moments().to(at::kDouble), "<f8")), HasSubstr("float32"));
  at::Tensor changed = moments();
  changed[0][0][0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(latent_refusal(npy_of(changed, "<f4")), HasSubstr("not finite"));
  changed = moments();
  changed[4][0][0] = 0;
  EXPECT_THAT(latent_refusal(npy_of(changed, "<f4")), HasSubstr("not positive"));
  changed = moments();
  changed[3] = -1;  // means may be negative
  EXPECT_NO_THROW(read_stored_latent(file(npy_of(changed, "<f4"))));
  const std::string whole = npy_of(moments(), "<f4");
  for (const size_t count : {size_t(0), size_t(5), size_t(100), whole.size() - 1})
    EXPECT_FALSE(latent_refusal(whole.substr(0, count)).empty());
  EXPECT_FALSE(refusal_of([&] { read_stored_latent(folder_ / "absent.npy"); }).empty());
}

TEST_F(StoredFeatures, CaptionIsItsTrueTokens) {
  const at::Tensor tokens = at::arange(5 * 3, at::kFloat).reshape({1, 5, 3});
  const auto mask = [](std::vector<int64_t> values) {
    return npy_of(at::tensor(values, at::kLong).unsqueeze(0), "<i8");
  };
  const auto feature = npy_of(tokens, "<f4");
  const auto read = [&](const std::string& bytes, int64_t max_tokens) {
    return read_stored_caption(file(bytes), max_tokens).tokens;
  };
  const std::string masked =
      npz_of({{"caption_feature.npy", feature}, {"attention_mask.npy", mask({1, 1, 1, 0, 0})}});
  EXPECT_TRUE(at::equal(read(masked, 120), tokens[0].narrow(0, 0, 3)));
  EXPECT_TRUE(at::equal(read(masked, 2), tokens[0].narrow(0, 0, 2)));
  EXPECT_TRUE(at::equal(read(npz_of({{"caption_feature.npy", feature}}), 120), tokens[0]));
  const std::string half = npz_of({{"caption_feature.npy", npy_of(tokens.to(at::kHalf), "<f2")},
                                   {"attention_mask.npy", npy_of(at::ones({1, 5}, at::kShort), "<i2")}});
  EXPECT_TRUE(at::equal(read(half, 120), tokens[0]));
  // Padding may hold anything.
  at::Tensor padded = tokens.clone();
  padded[0][4] = std::numeric_limits<float>::infinity();
  EXPECT_NO_THROW(read(
      npz_of({{"caption_feature.npy", npy_of(padded, "<f4")}, {"attention_mask.npy", mask({1, 1, 1, 0, 0})}}),
      120));
  EXPECT_THAT(caption_refusal(npz_of({{"caption_feature.npy", npy_of(padded, "<f4")}})),
              HasSubstr("not finite"));
  const auto with_mask = [&](const std::string& other) {
    return caption_refusal(npz_of({{"caption_feature.npy", feature}, {"attention_mask.npy", other}}));
  };
  EXPECT_THAT(with_mask(mask({0, 0, 0, 0, 0})), HasSubstr("no token"));
  EXPECT_THAT(with_mask(mask({1, 2, 0, 0, 0})), HasSubstr("other than 0 and 1"));
  EXPECT_THAT(with_mask(mask({1, 1})), HasSubstr("(1, 2)"));
}

TEST_F(StoredFeatures, BadCaptions) {
  const at::Tensor tokens = at::ones({1, 2, 3});
  EXPECT_THAT(caption_refusal(npz_of({{"other.npy", npy_of(tokens, "<f4")}})), HasSubstr("caption_feature"));
  EXPECT_THAT(caption_refusal(npz_of({{"caption_feature.npy", npy_of(tokens[0], "<f4")}})),
              HasSubstr("(2, 3)"));
  EXPECT_THAT(caption_refusal(npz_of({{"caption_feature.npy", npy_of(tokens.to(at::kLong), "<i8")}})),
              HasSubstr("float32"));
  const std::string whole = npz_of({{"caption_feature.npy", npy_of(tokens, "<f4")}});
  for (const size_t count : {size_t(0), size_t(20), whole.size() / 2, whole.size() - 1})
    EXPECT_FALSE(caption_refusal(whole.substr(0, count)).empty());
}

}  // namespace
}  // namespace pixart::data
