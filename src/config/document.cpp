#include "document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <unordered_map>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/utf8.h"
#include "text.h"

namespace pixart::config::internal {

namespace {

constexpr size_t kMostBytes = size_t{1} << 20;
constexpr size_t kMostNodes = 100000;
constexpr size_t kDeepest = 64;

// Thrown out of yaml-cpp's callbacks when there is no use in continuing; caught in parse().
struct Abandoned {
  int line;
  std::string what;
};

// Builds the tree from yaml-cpp's parser events. Its own tree (YAML::Node) hides duplicate keys and places.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(Report& report, int override_index, std::string path)
      : report_(report), override_index_(override_index), path_(std::move(path)) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw Abandoned{
          mark.line + 1,
          "text follows after the end of the document (one document is allowed; check the indentation)"};
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(node(Node::Kind::kNull, mark)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not allowed (write the value out)");
    add(node(Node::Kind::kBroken, mark));
  }
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    refuse(mark, fmt::format("anchors (&{}) are not allowed (write the value out where it is needed)",
                             shortened(name)));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& text) override {
    check_tag(mark, tag);
    Node scalar = node(Node::Kind::kScalar, mark);
    scalar.text = text;
    scalar.is_quoted = tag == "!";
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::kList, mark, tag);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::kMap, mark, tag);
  }
  void OnMapEnd() override {
    make_entries(open_.back());
    close();
  }

 private:
  Place place(const YAML::Mark& mark) const { return {std::max(0, mark.line) + 1, override_index_}; }
  void refuse(const YAML::Mark& mark, const std::string& what) { report_.add(place(mark), path_, what); }

  void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      refuse(mark, "tags (" + shortened(tag) + ") are not allowed (remove it)");
  }

  Node node(Node::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kMostNodes) throw Abandoned{mark.line + 1, fmt::format("more than {} values", kMostNodes)};
    Node result;
    result.kind = kind;
    result.place = place(mark);
    return result;
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    check_tag(mark, tag);
    if (open_.size() >= kDeepest)
      throw Abandoned{mark.line + 1, fmt::format("nested deeper than {} levels", kDeepest)};
    open_.push_back(node(kind, mark));
  }

  void close() {
    Node done = std::move(open_.back());
    open_.pop_back();
    add(std::move(done));
  }

  void add(Node&& done) {
    if (open_.empty())
      root_ = std::move(done);
    else
      open_.back().children.push_back(std::move(done));
  }

  // Turns key, value, key, value ... into values that have their key.
  void make_entries(Node& map) {
    std::vector<Node> entries;
    std::unordered_map<std::string, int> lines;
    for (size_t i = 0; i + 1 < map.children.size(); i += 2) {
      const Node& key = map.children[i];
      Node& value = map.children[i + 1];
      value.place = key.place;
      if (key.kind != Node::Kind::kScalar) {
        report_.add(key.place, path_, "a key must be a word");
        continue;
      }
      const auto [known, is_new] = lines.emplace(key.text, key.place.line);
      if (key.text == "<<" && !key.is_quoted) {
        report_.add(key.place, path_, "merge keys (<<) are not allowed (write the keys out)");
      } else if (!is_new) {
        report_.add(key.place, path_,
                    fmt::format("duplicate key '{}', first on line {} (keep one)", shortened(key.text),
                                known->second));
      } else {
        value.key = key.text;
        entries.push_back(std::move(value));
      }
    }
    map.children = std::move(entries);
  }

  Report& report_;
  int override_index_;
  std::string path_;
  std::vector<Node> open_;
  Node root_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

}  // namespace

std::string unfit_character(const std::string& text, int& line) {
  line = 1;
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_sequence(text, at);
    const auto byte = static_cast<unsigned char>(text[at]);
    const bool is_line_end = byte == '\n' || (byte == '\r' && at + 1 < text.size() && text[at + 1] == '\n');
    if (length == 0) return "not UTF-8 text (save the file as UTF-8)";
    if (byte == '\t') return "tab character (indent with spaces; inside text write \"\\t\" in double quotes)";
    if ((byte < 0x20 || byte == 0x7F) && !is_line_end)
      return fmt::format("control character 0x{:02x} (remove it)", byte);
    line += byte == '\n' ? 1 : 0;
    at += length;
  }
  return {};
}

const Node* Node::find(const std::string& name) const {
  const auto found =
      std::find_if(children.begin(), children.end(), [&](const Node& node) { return node.key == name; });
  return found == children.end() ? nullptr : &*found;
}

Node* Node::find(const std::string& name) { return const_cast<Node*>(std::as_const(*this).find(name)); }

Node parse(const std::string& yaml, Report& report, int override_index, const std::string& path) {
  TreeBuilder builder(report, override_index, path);
  int line = 1;
  std::string problem;
  try {
    if (yaml.size() > kMostBytes) throw Abandoned{1, fmt::format("larger than {} bytes", kMostBytes)};
    if (const auto unfit = unfit_character(yaml, line); !unfit.empty()) throw Abandoned{line, unfit};
    std::istringstream stream(yaml);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Abandoned& abandoned) {
    line = abandoned.line;
    problem = abandoned.what;
  } catch (const YAML::Exception& error) {
    line = std::max(0, error.mark.line) + 1;
    problem = "not valid YAML: " + error.msg;
  }
  report.add({line, override_index}, path, problem);
  Node broken;
  broken.kind = Node::Kind::kBroken;
  broken.place = {line, override_index};
  return broken;
}

std::string read_config_file(const std::string& path) { return pixart::read_file(path, kMostBytes); }

}  // namespace pixart::config::internal
