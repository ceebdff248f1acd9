#include "pickle.h"

#include <fmt/format.h>

#include <bit>

#include "pickle_builder.h"
#include "pixart/base/utf8.h"

namespace pixart::formats {

namespace {

constexpr NodeId kNoNode = ~NodeId{0};

class Machine {
 public:
  Machine(PickleBytes& bytes, bool with_storages)
      : bytes_(bytes), build_(bytes), with_storages_(with_storages) {}
  PickleGraph run();

 private:
  using Kind = PickleNode::Kind;
  // Each function handles some opcodes and returns false for the others.
  bool push_constant(uint8_t opcode);
  bool push_text(uint8_t opcode);
  bool push_bytes(uint8_t opcode);
  bool make_sequence(uint8_t opcode);
  bool fill_container(uint8_t opcode);
  bool use_memo(uint8_t opcode);
  bool make_object(uint8_t opcode);

  void push(NodeId id);
  NodeId pop();
  NodeId top();
  std::vector<NodeId> pop(size_t count);
  std::vector<NodeId> pop_to_mark();
  void push_long(uint64_t count);
  void extend(NodeId container, std::vector<NodeId> items, bool as_dict);
  void memoize(uint64_t index);
  const std::string& text_of(NodeId id);

  PickleBytes& bytes_;
  PickleBuilder build_;
  bool with_storages_;
  std::vector<NodeId> stack_, memo_;
  std::vector<size_t> marks_;
  size_t num_memoized_ = 0;
};

PickleGraph Machine::run() {
  build_.set_place(bytes_.at());
  if (bytes_.little_endian(1) != 0x80) build_.fail("this is not the beginning of a pickle");
  if (const auto protocol = bytes_.little_endian(1); protocol < 2 || protocol > 5)
    build_.fail(fmt::format("pickle protocol {} is not supported, only 2 to 5", protocol));
  while (true) {
    build_.set_place(bytes_.at());
    const auto opcode = uint8_t(bytes_.little_endian(1));
    if (opcode == '.') break;
    const bool known = push_constant(opcode) || push_text(opcode) || push_bytes(opcode) ||
                       make_sequence(opcode) || fill_container(opcode) || use_memo(opcode) ||
                       make_object(opcode);
    if (!known) build_.fail(fmt::format("pickle opcode 0x{:02x} is not one that weights need", opcode));
  }
  const NodeId root = pop();
  if (!stack_.empty() || !marks_.empty()) build_.fail("the pickle ends with values left over");
  return build_.take(root);
}

void Machine::push(NodeId id) {
  if (stack_.size() == kMostPickleValues) build_.fail("the stack has too many values");
  stack_.push_back(id);
}

std::vector<NodeId> Machine::pop(size_t count) {
  const size_t floor = marks_.empty() ? 0 : marks_.back();
  if (stack_.size() - floor < count) build_.fail("a value is missing on the stack");
  std::vector<NodeId> items(stack_.end() - int64_t(count), stack_.end());
  stack_.resize(stack_.size() - count);
  return items;
}

NodeId Machine::pop() { return pop(1)[0]; }

NodeId Machine::top() {
  const NodeId id = pop();
  stack_.push_back(id);
  return id;
}

std::vector<NodeId> Machine::pop_to_mark() {
  if (marks_.empty()) build_.fail("a mark is missing on the stack");
  auto items = pop(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

// Two's complement of `count` bytes. Larger numbers are parts of side objects (states of random generators).
void Machine::push_long(uint64_t count) {
  if (count > 8) {
    bytes_.text(count);
    return push(build_.add_opaque("int"));
  }
  const int shift = 64 - 8 * int(count);
  const int64_t value = count == 0 ? 0 : int64_t(bytes_.little_endian(int(count)) << shift) >> shift;
  push(build_.add({.kind = Kind::kInteger, .integer = value}));
}

bool Machine::push_constant(uint8_t opcode) {
  const auto integer = [&](int64_t value) { push(build_.add({.kind = Kind::kInteger, .integer = value})); };
  switch (opcode) {
    case 'N':  // NONE
      push(build_.add({}));
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      push(build_.add({.kind = Kind::kBool, .integer = opcode == 0x88}));
      return true;
    case 'J':  // BININT
      integer(int32_t(bytes_.little_endian(4)));
      return true;
    case 'K':  // BININT1
      integer(int64_t(bytes_.little_endian(1)));
      return true;
    case 'M':  // BININT2
      integer(int64_t(bytes_.little_endian(2)));
      return true;
    case 0x8a:  // LONG1
      push_long(bytes_.little_endian(1));
      return true;
    case 0x8b:  // LONG4
      push_long(bytes_.little_endian(4));
      return true;
    case 'G':  // BINFLOAT, big-endian
      push(build_.add(
          {.kind = Kind::kFloat, .real = std::bit_cast<double>(__builtin_bswap64(bytes_.little_endian(8)))}));
      return true;
    default:
      return false;
  }
}

bool Machine::push_text(uint8_t opcode) {
  int length_bytes = 0;
  switch (opcode) {
    case 0x8c:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING, Python 2's text
      length_bytes = 1;
      break;
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
      length_bytes = 4;
      break;
    case 0x8d:  // BINUNICODE8
      length_bytes = 8;
      break;
    default:
      return false;
  }
  std::string text = bytes_.text(bytes_.little_endian(length_bytes));
  if (!is_utf8(text)) build_.fail("a string that is not valid UTF-8");
  push(build_.add({.kind = Kind::kText, .text = std::move(text)}));
  return true;
}

// Parts of side objects.
bool Machine::push_bytes(uint8_t opcode) {
  int length_bytes = 0;
  switch (opcode) {
    case 'C':  // SHORT_BINBYTES
      length_bytes = 1;
      break;
    case 'B':  // BINBYTES
      length_bytes = 4;
      break;
    case 0x8e:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      length_bytes = 8;
      break;
    default:
      return false;
  }
  bytes_.text(bytes_.little_endian(length_bytes));
  push(build_.add_opaque("bytes"));
  return true;
}

bool Machine::make_sequence(uint8_t opcode) {
  switch (opcode) {
    case '(':  // MARK
      if (marks_.size() == kMostPickleValues) build_.fail("too many marks on the stack");
      marks_.push_back(stack_.size());
      return true;
    case ']':   // EMPTY_LIST
    case 0x8f:  // EMPTY_SET
      push(build_.add_sequence(Kind::kList, {}));
      return true;
    case '}':  // EMPTY_DICT
      push(build_.add_sequence(Kind::kDict, {}));
      return true;
    case ')':  // EMPTY_TUPLE
      push(build_.add_sequence(Kind::kTuple, {}));
      return true;
    case 't':  // TUPLE
      push(build_.add_sequence(Kind::kTuple, pop_to_mark()));
      return true;
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      push(build_.add_sequence(Kind::kTuple, pop(opcode - size_t{0x84})));
      return true;
    case 0x91:  // FROZENSET
      push(build_.add_sequence(Kind::kList, pop_to_mark()));
      return true;
    default:
      return false;
  }
}

void Machine::extend(NodeId container, std::vector<NodeId> items, bool as_dict) {
  auto& node = build_.node(container);
  if (node.kind == Kind::kOpaque) return;  // of a class that is a list or a dictionary
  if (node.kind != (as_dict ? Kind::kDict : Kind::kList))
    build_.fail(as_dict ? "entries for a value that is not a dictionary"
                        : "elements for a value that is not a list");
  if (as_dict && items.size() % 2 != 0) build_.fail("a key without a value");
  node.items.insert(node.items.end(), items.begin(), items.end());
}

bool Machine::fill_container(uint8_t opcode) {
  const bool as_dict = opcode == 's' || opcode == 'u';
  switch (opcode) {
    case 'a': {  // APPEND
      auto items = pop(1);
      extend(top(), std::move(items), as_dict);
      return true;
    }
    case 's': {  // SETITEM
      auto items = pop(2);
      extend(top(), std::move(items), as_dict);
      return true;
    }
    case 'e':    // APPENDS
    case 0x90:   // ADDITEMS, of a set
    case 'u': {  // SETITEMS
      auto items = pop_to_mark();
      extend(top(), std::move(items), as_dict);
      return true;
    }
    default:
      return false;
  }
}

void Machine::memoize(uint64_t index) {
  if (index >= kMostPickleValues) build_.fail(fmt::format("memo slot {} is over the limit", index));
  if (index >= memo_.size()) memo_.resize(index + 1, kNoNode);
  num_memoized_ += memo_[index] == kNoNode;
  memo_[index] = top();
}

bool Machine::use_memo(uint8_t opcode) {
  switch (opcode) {
    case 'q':  // BINPUT
      memoize(bytes_.little_endian(1));
      return true;
    case 'r':  // LONG_BINPUT
      memoize(bytes_.little_endian(4));
      return true;
    case 0x94:  // MEMOIZE
      memoize(num_memoized_);
      return true;
    case 'h':    // BINGET
    case 'j': {  // LONG_BINGET
      const uint64_t index = bytes_.little_endian(opcode == 'h' ? 1 : 4);
      if (index >= memo_.size() || memo_[index] == kNoNode)
        build_.fail(fmt::format("memo slot {} was never written", index));
      push(memo_[index]);
      return true;
    }
    default:
      return false;
  }
}

const std::string& Machine::text_of(NodeId id) {
  if (build_.node(id).kind != Kind::kText) build_.fail("a global whose name is not a string");
  return build_.node(id).text;
}

bool Machine::make_object(uint8_t opcode) {
  switch (opcode) {
    case 0x95:  // FRAME
      if (const auto length = bytes_.little_endian(8); length > bytes_.left())
        build_.fail(fmt::format("a frame of {} bytes, {} are left", length, bytes_.left()));
      return true;
    case 'c': {  // GLOBAL
      const std::string module = bytes_.line(), attribute = bytes_.line();
      push(build_.add_global(module + "." + attribute));
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const auto names = pop(2);
      push(build_.add_global(text_of(names[0]) + "." + text_of(names[1])));
      return true;
    }
    case 'R': {  // REDUCE
      const auto parts = pop(2);
      push(build_.call(parts[0], parts[1]));
      return true;
    }
    case 0x81:    // NEWOBJ
    case 0x92: {  // NEWOBJ_EX, with named arguments
      const auto parts = pop(opcode == 0x81 ? 2 : 3);
      push(build_.make_object(parts[0]));
      return true;
    }
    case 'b': {  // BUILD
      const NodeId state = pop();
      build_.set_state(top(), state);
      return true;
    }
    case 'Q':  // BINPERSID
      if (!with_storages_) build_.fail("a storage is not allowed here");
      push(build_.add_storage(pop()));
      return true;
    default:
      return false;
  }
}

}  // namespace

PickleGraph read_pickle(PickleBytes& bytes, bool with_storages) {
  return Machine(bytes, with_storages).run();
}

}  // namespace pixart::formats
