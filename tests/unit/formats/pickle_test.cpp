#include "pickle.h"

#include "pickle_values.h"
#include "pth_writer.h"

namespace pixart::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using namespace std::string_literals;

class Pickle : public Folder {
 protected:
  PickleValue value(const std::string& pickle) const {
    const InputFile file(write("p.pkl", pickle));
    PickleBytes bytes(file, 0, file.bytes());
    const PickleGraph graph = read_pickle(bytes, /*with_storages=*/false);
    EXPECT_EQ(bytes.left(), 0u);
    return make_value(
        graph, [](size_t, void*) {}, "p.pkl");
  }
  PickleValue of(const std::string& operations) const { return value("\x80\x02" + operations + "."); }
  std::string refusal_of(const std::string& operations) const {
    return refusal([&] { of(operations); });
  }
};

template <class T>
T as(const PickleValue& value) {
  return std::get<T>(value.value);
}

TEST_F(Pickle, PlainValues) {
  EXPECT_TRUE(std::holds_alternative<std::monostate>(of("N").value));
  EXPECT_TRUE(as<bool>(of("\x88")));
  EXPECT_FALSE(as<bool>(of("\x89")));
  EXPECT_EQ(as<int64_t>(of("K\xff")), 255);
  EXPECT_EQ(as<int64_t>(of("M\xff\xff")), 65535);
  EXPECT_EQ(as<int64_t>(of("J\xfe\xff\xff\xff")), -2);
  EXPECT_EQ(as<int64_t>(of("\x8a\x00"s)), 0);
  EXPECT_EQ(as<int64_t>(of("\x8a\x02\xff\x7f")), 32767);
  EXPECT_EQ(as<int64_t>(of("\x8a\x02\x00\x80"s)), -32768);
  EXPECT_EQ(as<int64_t>(of(integer_op(INT64_MIN))), INT64_MIN);
  EXPECT_EQ(as<int64_t>(of("\x8b\x01\x00\x00\x00\x80"s)), -128);
  EXPECT_EQ(as<double>(of("G\x3f\xf8\x00\x00\x00\x00\x00\x00"s)), 1.5);
  EXPECT_EQ(as<std::string>(of(text_op("h\u00e9"))), "h\u00e9");
  EXPECT_EQ(as<std::string>(of("U\x02hi")), "hi");
}

TEST_F(Pickle, Containers) {
  const auto list =
      as<std::shared_ptr<PickleList>>(of("](K\x01K\x02"
                                         "eK\x03"
                                         "a"));
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ(as<int64_t>((*list)[2]), 3);
  const auto tuple = as<std::shared_ptr<PickleList>>(of("K\x01K\x02K\x03\x87"));
  EXPECT_EQ(as<int64_t>((*tuple)[0]), 1);
  const auto dict =
      as<std::shared_ptr<PickleDict>>(of("}" + text_op("b") + "K\x01s(" + text_op("a") + "K\x02K\x05Nu"));
  ASSERT_EQ(dict->size(), 3u);
  EXPECT_EQ(as<std::string>((*dict)[0].first), "b");  // in file order
  EXPECT_EQ(as<int64_t>((*dict)[2].first), 5);
  const auto set = as<std::shared_ptr<PickleList>>(of(global_op("__builtin__", "set") + "](K\x01K\x02"
                                                                                        "e\x85R"));
  EXPECT_EQ(set->size(), 2u);
  const auto ordered =
      as<std::shared_ptr<PickleDict>>(of(global_op("collections", "OrderedDict") + "](](K\x01K\x02"
                                                                                   "ee\x85R"));
  EXPECT_EQ(as<int64_t>(ordered->at(0).second), 2);
}

TEST_F(Pickle, MemoOfBothKinds) {
  const auto list = as<std::shared_ptr<PickleList>>(of("](" + text_op("x") +
                                                       "q\x05h\x05"
                                                       "e"));
  EXPECT_EQ(as<std::string>(list->at(1)), "x");
  const auto other = as<std::shared_ptr<PickleList>>(
      value("\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x01x\x94h\x01"
            "e."s));
  EXPECT_EQ(as<std::string>(other->at(1)), "x");
}

TEST_F(Pickle, OpaqueObjectsKeepOnlyTheirName) {
  const auto opaque =
      as<Opaque>(of(global_op("argparse", "Namespace") + ")\x81}" + text_op("lr") + "K\x01sb"));
  EXPECT_EQ(opaque.global, "argparse.Namespace");
  EXPECT_EQ(as<Opaque>(of(global_op("torch", "float32"))).global, "torch.float32");
  EXPECT_EQ(as<Opaque>(of(global_op("torch", "device") + text_op("cpu") + "\x85R")).global, "torch.device");
}

// NumPy's scalars, paths, dates, states of random generators, objects of a program's own classes.
TEST_F(Pickle, SideObjectsArePassedOver) {
  const std::string bytes = global_op("_codecs", "encode") + text_op("x") + text_op("latin1") + "\x86R";
  const std::string dtype = global_op("numpy", "dtype") + text_op("f8") + "\x89\x88\x87R(K\x03" +
                            text_op("<") + "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x01tb";
  const std::string nul("\0", 1);
  const std::pair<std::string, const char*> objects[] = {
      {global_op("numpy._core.multiarray", "scalar") + dtype.substr(0, dtype.size()) + bytes + "\x86R",
       "numpy._core.multiarray.scalar"},
      {global_op("numpy.core.multiarray", "_reconstruct") + global_op("numpy", "ndarray") + "K\x01\x85" +
           bytes + "\x87R(K\x01K\x02\x85" + dtype + "\x89" + bytes + "tb",
       "numpy.core.multiarray._reconstruct"},
      {global_op("pathlib", "PosixPath") + text_op("/") + text_op("data") + "\x86R", "pathlib.PosixPath"},
      {global_op("datetime", "datetime") + "C\x0a" + std::string(10, '\x7f') + "\x85R", "datetime.datetime"},
      {global_op("my.program", "Config") + ")\x81(" + text_op("lr") + "K\x01u}" + text_op("a") + "Nsb",
       "my.program.Config"},
      {global_op("my.program", "Names") + ")\x81](K\x01" + "e" + "a", "my.program.Names"},
      {global_op("my.program", "Named") + ")}\x92", "my.program.Named"},
      {global_op("torch.torch_version", "TorchVersion") + text_op("2.11") + "\x85R",
       "torch.torch_version.TorchVersion"},
      {"\x8a\x10" + std::string(16, '\x7f'), "int"},
      {"B\x02" + nul + nul + nul + "ab", "bytes"}};
  for (const auto& [operations, name] : objects) EXPECT_EQ(as<Opaque>(of(operations)).global, name);
  EXPECT_TRUE(
      as<std::shared_ptr<PickleDict>>(of(global_op("collections", "defaultdict") +
                                         global_op("builtins", "list") + "\x85R" + text_op("a") + "K\x01s"))
          ->size() == 1);
  EXPECT_THAT(refusal_of(global_op("my.program", std::string(600, 'x')).substr(0, 700)), HasSubstr("name"));
}

TEST_F(Pickle, NamesThatRunCodeAreNotPassedOver) {
  for (const auto& [module, name] :
       {std::pair{"builtins", "eval"}, std::pair{"__builtin__", "getattr"}, std::pair{"subprocess", "Popen"},
        std::pair{"os", "path"}, std::pair{"runpy", "run_path"}, std::pair{"importlib", "import_module"}})
    EXPECT_THAT(refusal_of(global_op(module, name)), HasSubstr("can run programs or code")) << module;
}

TEST_F(Pickle, TypesOfTensorsThatAreNotKnownAreNamed) {
  EXPECT_THAT(refusal_of(global_op("torch", "QInt8Storage")), HasSubstr("Quantised"));
  EXPECT_THAT(refusal_of(global_op("torch", "float4_e2m1fn_x2")), HasSubstr("less than a byte"));
  EXPECT_THAT(refusal_of(global_op("torch._utils", "_rebuild_meta_tensor_no_storage")), HasSubstr("meta"));
  EXPECT_THAT(refusal_of(global_op("torch.distributed.tensor", "DTensor")), HasSubstr("one rank"));
  EXPECT_THAT(refusal_of(global_op("torch._tensor", "_rebuild_from_type_v2") + "(" +
                         global_op("torch._utils", "_rebuild_tensor_v2") +
                         global_op("torchao.quantization", "Packed") + ")}tR"),
              AllOf(HasSubstr("class"), HasSubstr("torchao.quantization.Packed")));
}

TEST_F(Pickle, RefusesGlobalsByNameWhereverTheyStand) {
  EXPECT_THAT(refusal_of(global_op("os", "system")),
              AllOf(HasSubstr("'os.system'"), HasSubstr("p.pkl"), HasSubstr("byte 2"),
                    HasSubstr("Nothing of the file was executed")));
  EXPECT_THAT(refusal_of("\x8c\x05posix\x8c\x06system\x93"), HasSubstr("'posix.system'"));
  EXPECT_THAT(refusal_of(global_op("torch._utils", "_rebuild_sparse_tensor")), HasSubstr("Sparse"));
  EXPECT_THAT(refusal_of(global_op("torch._utils", "_rebuild_qtensor")), HasSubstr("Quantised"));
  EXPECT_THAT(refusal_of(global_op("torch.nn.modules.linear", "Linear")), HasSubstr("module"));
  EXPECT_THAT(refusal_of(global_op("torch", "float32") + ")R"), HasSubstr("not a function"));
  EXPECT_THAT(refusal_of(global_op("collections", "OrderedDict") + ")\x81"), HasSubstr("class"));
}

TEST_F(Pickle, RefusesOpcodesThatWeightsDoNotNeed) {
  for (const char* operations : {"I1\n", "S'x'\n", "L1\n", "F1\n", "(ios\nsystem\n", "(o",
                                 "K\x01"
                                 "0",
                                 "K\x01"
                                 "2",
                                 "P1\n", "\x82\x01", "\x97", "\x98", "\xff"}) {
    EXPECT_THAT(refusal_of(operations), HasSubstr("opcode")) << operations;
  }
}

TEST_F(Pickle, RefusesLiesAboutLengths) {
  EXPECT_THAT(refusal_of("X\xff\xff\xff\xff"
                         "a"),
              HasSubstr("announced"));
  EXPECT_THAT(refusal_of("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
                         "a"),
              HasSubstr("announced"));
  EXPECT_THAT(refusal_of("\x8b\xff\xff\xff\x7f"
                         "a"),
              HasSubstr("announced"));
  EXPECT_THAT(refusal_of("\x8a\x09" + std::string(7, '\1')), HasSubstr("announced"));
  EXPECT_THAT(refusal_of("C\x09" + std::string(7, '\1')), HasSubstr("announced"));
  EXPECT_THAT(refusal_of("\x96" + std::string(8, '\xff')), HasSubstr("announced"));
  EXPECT_THAT(refusal_of("\x95\xff\xff\xff\xff\xff\xff\xff\x7f"), HasSubstr("frame"));
  EXPECT_THAT(refusal_of("}r\xff\xff\xff\xff"), HasSubstr("memo slot 4294967295"));
  EXPECT_THAT(refusal_of("h\x09"), HasSubstr("never written"));
}

TEST_F(Pickle, RefusesABrokenStack) {
  for (const char* operations : {"", "t", "a", "s", "R", "b", "K\x01K\x02", "(K\x01", "](a", "}(K\x01u",
                                 "K\x01K\x02"
                                 "a",
                                 "](K\x01K\x02u", "Q", "K\x01Q", "q\x01"}) {
    EXPECT_THROW(of(operations), UserError) << operations;
  }
}

TEST_F(Pickle, NestingSharingAndCyclesEnd) {
  EXPECT_NO_THROW(of(std::string(60, ']') + std::string(59, 'a')));
  EXPECT_THAT(refusal_of(std::string(1'000'000, ']') + std::string(999'999, 'a')), HasSubstr("nested"));
  EXPECT_THAT(refusal_of("]q\x01h\x01"
                         "a"),
              HasSubstr("nested"));
  EXPECT_THAT(refusal_of("}q\x01" + text_op("a") + "h\x01s"), HasSubstr("nested"));
  std::string laughs = "]q\x01";
  for (int i = 1; i <= 20; ++i)
    laughs += "](" + (std::string("h") + char(i)) + std::string("h") + char(i) + "h" + char(i) + "h" +
              char(i) + "eq" + char(i + 1);
  EXPECT_THAT(refusal_of("](" + laughs + "e"), HasSubstr("too many values"));
}

// A copy of something in the memo takes a few bytes of the file, however large it is.
TEST_F(Pickle, RefusesCopiesWithoutMeasure) {
  const auto repeated = [](const std::string& text, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  };
  std::string pairs;
  for (uint64_t key = 0; key < 4000; ++key) pairs += "M" + little_endian(key, 2) + "N\x86";
  for (const std::string& once :
       {global_op("torch", "Size") + "q\x01](" + repeated("N", 4000) + "e\x85q\x02R",
        global_op("collections", "OrderedDict") + "q\x01](" + pairs + "e\x85q\x02R"}) {
    EXPECT_NO_THROW(of("](" + once + repeated("h\x01h\x02R", 100) + "e"));
    EXPECT_THAT(refusal_of("](" + once + repeated("h\x01h\x02R", 4000) + "e"), HasSubstr("copies"));
  }
  EXPECT_THAT(refusal_of(global_op("torch", "device") + "(" + repeated("N", 100) + "tR"),
              HasSubstr("too many arguments"));
}

TEST_F(Pickle, RefusesAKeyThatStandsTwice) {
  EXPECT_THAT(refusal_of("}(" + text_op("w") + "K\x01" + text_op("w") + "K\x02u"), HasSubstr("'w' twice"));
  EXPECT_NO_THROW(of("}(" + text_op("1") +
                     "K\x01"
                     "K\x01K\x02u"));  // "1" and 1 are two keys
}

// No cut or changed byte of a typical pickle may do worse than be refused.
TEST_F(Pickle, SurvivesDamage) {
  const std::string good = "\x80\x02}q\x01(" + text_op("w") +
                           "q\x02](K\x01K\x02"
                           "e" +
                           text_op("n") + global_op("argparse", "Namespace") + ")\x81}" + text_op("a") +
                           "h\x02sbu.";
  EXPECT_NO_THROW(value(good));
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_THROW(value(good.substr(0, i)), UserError) << i;
    for (int byte = 0; byte < 256; byte += 37) {
      std::string changed = good;
      changed[i] = char(byte);
      try {
        const InputFile file(write("p.pkl", changed));
        PickleBytes bytes(file, 0, file.bytes());
        const PickleGraph graph = read_pickle(bytes, false);
        make_value(
            graph, [](size_t, void*) {}, "p.pkl");
      } catch (const UserError&) {
      }
    }
  }
}

}  // namespace
}  // namespace pixart::formats
