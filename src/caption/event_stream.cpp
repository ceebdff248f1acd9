#include "event_stream.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "pixart/data/table_rows.h"

namespace pixart::caption {
using nlohmann::json;

namespace {

// One answer, piece by piece.
struct Joined {
  std::string content, reasoning, refusal;
  json reply = json::object(), finish = nullptr, tokens = json::array();
  bool is_done = false;
};

void add_text(const json& delta, const char* name, std::string& to) {
  const auto found = delta.find(name);
  if (found == delta.end()) return;
  if (found->is_string()) to += found->get<std::string>();
  if (!found->is_array()) return;
  for (const auto& part : *found)
    if (part.is_object() && part.value("type", json()) == "text") add_text(part, "text", to);
}

void add_choice(const json& choice, Joined& joined) {
  if (!choice.is_object()) return;
  for (const char* name : {"delta", "message"}) {
    const auto piece = choice.find(name);
    if (piece == choice.end() || !piece->is_object()) continue;
    add_text(*piece, "content", joined.content);
    add_text(*piece, "reasoning_content", joined.reasoning);
    add_text(*piece, "reasoning", joined.reasoning);
    add_text(*piece, "refusal", joined.refusal);
  }
  const auto chances = choice.find("logprobs");
  if (chances != choice.end() && chances->is_object() && chances->contains("content") &&
      (*chances)["content"].is_array())
    for (const auto& token : (*chances)["content"]) joined.tokens.push_back(token);
  const auto finish = choice.find("finish_reason");
  if (finish != choice.end() && finish->is_string()) joined.finish = *finish;
}

void add_event(const json& event, Joined& joined) {
  if (!event.is_object()) return;
  for (const char* name : {"model", "usage", "error"})
    if (event.contains(name) && !event[name].is_null()) joined.reply[name] = event[name];
  const auto choices = event.find("choices");
  if (choices != event.end() && choices->is_array() && !choices->empty())
    add_choice(choices->front(), joined);
}

std::string_view line_at(std::string_view body, size_t& at) {
  const size_t end = std::min(body.find('\n', at), body.size());
  std::string_view line = body.substr(at, end - at);
  at = end + 1;
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

}  // namespace

bool is_event_stream(const std::string& body) {
  const size_t first = body.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return false;
  const std::string_view text = std::string_view(body).substr(first);
  const bool is_comment = text.starts_with(":") && text.find("\ndata:") != std::string_view::npos;
  return text.starts_with("data:") || text.starts_with("event:") || text.starts_with("id:") || is_comment;
}

std::string answer_of_stream(const std::string& body) {
  Joined joined;
  for (size_t at = 0; at < body.size();) {
    std::string_view line = line_at(body, at);
    if (!line.starts_with("data:")) continue;
    line.remove_prefix(5);
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (line == "[DONE]")
      joined.is_done = true;
    else if (constexpr int kDeepest = 100;
             data::nesting_of(line) <= kDeepest)  // deeper ones are copied by recursion
      add_event(json::parse(line, nullptr, false), joined);
  }
  const bool has_error = joined.reply.contains("error");
  if (!has_error && !joined.is_done && joined.finish.is_null()) return "a stream of events that ended early";
  if (!has_error || !joined.content.empty())
    joined.reply["choices"] = json::array({{{"message",
                                             {{"content", joined.content},
                                              {"reasoning_content", joined.reasoning},
                                              {"refusal", joined.refusal}}},
                                            {"finish_reason", joined.finish}}});
  if (!joined.tokens.empty() && joined.reply.contains("choices"))
    joined.reply["choices"][0]["logprobs"] = {{"content", joined.tokens}};
  if (has_error && !joined.content.empty()) joined.reply["choices"][0]["error"] = joined.reply["error"];
  return joined.reply.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace pixart::caption
