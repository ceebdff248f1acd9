#include "pixart/caption/job_store.h"

#include <sqlite3.h>

#include "pixart/base/error.h"

namespace pixart::caption {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(sqlite3* database, const fs::path& file) {
  throw UserError(
      fmt::format("{}: {}.", file.string(), database == nullptr ? "out of memory" : sqlite3_errmsg(database)),
      ExitCode::kStorage);
}

}  // namespace

struct JobStore::State {
  fs::path file;
  sqlite3* database = nullptr;

  ~State() { sqlite3_close(database); }

  void run(const char* sql) const {
    if (sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(database, file);
  }
};

namespace {

// A prepared statement with its parameters bound in order.
class Statement {
 public:
  Statement(sqlite3* database, const fs::path& file, const char* sql) : database_(database), file_(file) {
    if (sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr) != SQLITE_OK) fail(database, file);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(const std::string& text) {
    return check(sqlite3_bind_text(statement_, ++bound_, text.data(), int(text.size()), SQLITE_TRANSIENT));
  }
  Statement& bind(int64_t number) { return check(sqlite3_bind_int64(statement_, ++bound_, number)); }
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail(database_, file_);
    return code == SQLITE_ROW;
  }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return bytes == nullptr ? std::string()
                            : std::string(bytes, size_t(sqlite3_column_bytes(statement_, column)));
  }
  int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  Statement& check(int code) {
    if (code != SQLITE_OK) fail(database_, file_);
    return *this;
  }
  sqlite3* database_;
  const fs::path& file_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

}  // namespace

JobStore::JobStore(const fs::path& file, const std::map<std::string, std::string>& settings)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.file = file;
  if (sqlite3_open(file.c_str(), &s.database) != SQLITE_OK) fail(s.database, file);
  sqlite3_busy_timeout(s.database, 5000);
  s.run("PRAGMA journal_mode = WAL");
  s.run("PRAGMA synchronous = FULL");
  s.run("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)");
  s.run(
      "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, fault INTEGER NOT NULL, caption TEXT NOT "
      "NULL, "
      "detail TEXT NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER "
      "NOT NULL, "
      "attempts INTEGER NOT NULL)");
  Problems problems;
  s.run("BEGIN IMMEDIATE");
  for (const auto& [name, value] : settings) {
    Statement known(s.database, s.file, "SELECT value FROM settings WHERE name = ?");
    if (!known.bind(name).step()) {
      Statement(s.database, s.file, "INSERT INTO settings VALUES (?, ?)").bind(name).bind(value).step();
    } else if (known.text(0) != value) {
      problems.add(fmt::format("{} was '{}', now it is '{}'", name, known.text(0), value));
    }
  }
  s.run(problems.empty() ? "COMMIT" : "ROLLBACK");
  problems.throw_if_any(file.string() +
                        " was made with other settings (choose another --out, or the same settings)");
}
JobStore::~JobStore() = default;

void JobStore::put(const Result& result) {
  const auto& answer = result.answer;
  Statement(state_->database, state_->file, "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(result.key)
      .bind(int64_t(answer.fault))
      .bind(answer.caption)
      .bind(answer.detail)
      .bind(answer.model)
      .bind(answer.prompt_tokens)
      .bind(answer.completion_tokens)
      .bind(result.attempts)
      .step();
}

std::optional<Result> JobStore::find(const std::string& key) const {
  Statement row(
      state_->database, state_->file,
      "SELECT fault, caption, detail, model, prompt_tokens, completion_tokens, attempts FROM results "
      "WHERE key = ?");
  if (!row.bind(key).step()) return std::nullopt;
  Result result{.key = key, .answer = {}, .attempts = row.number(6)};
  result.answer.fault = AnswerFault(row.number(0));
  result.answer.caption = row.text(1);
  result.answer.detail = row.text(2);
  result.answer.model = row.text(3);
  result.answer.prompt_tokens = row.number(4);
  result.answer.completion_tokens = row.number(5);
  return result;
}

void JobStore::forget_rejected() { state_->run("DELETE FROM results WHERE fault <> 0"); }

}  // namespace pixart::caption
