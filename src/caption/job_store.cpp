#include "job_store.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "message_text.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"

namespace pixart::caption {
namespace fs = std::filesystem;

namespace {

constexpr const char* kVersion = "1";  // of the tables

[[noreturn]] void fail(sqlite3* database, const fs::path& file) {
  const std::string what =
      fmt::format("{}: {}", file.string(), database == nullptr ? "out of memory" : sqlite3_errmsg(database));
  const int code = sqlite3_errcode(database) & 0xFF;
  if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
    throw UserError(followed_by(what, "The file cannot be continued: choose another --out, or remove it."));
  const int system = database == nullptr ? ENOMEM : sqlite3_system_errno(database);
  const std::string remedy = is_shortage(system) ? std::string(remedy_of(system)) + " " : "";
  throw UserError(followed_by(what, remedy + "Earlier results are kept; the same command continues."),
                  is_shortage(system) ? ExitCode::kDevice : ExitCode::kStorage);
}

// SQLite itself would keep it from the group, whatever the umask says. It reports a file that cannot be made.
void create_for_the_group(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor >= 0) ::close(descriptor);
}

}  // namespace

struct JobStore::State {
  fs::path file;
  sqlite3* database = nullptr;
  sqlite3_stmt *find = nullptr, *put = nullptr;

  ~State() {
    sqlite3_finalize(find);
    sqlite3_finalize(put);
    sqlite3_close(database);
  }

  void check(bool good) const {
    if (!good) fail(database, file);
  }
  void run(const char* sql) const {
    check(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  }
  void prepare(sqlite3_stmt*& statement, const char* sql) const {
    if (statement == nullptr) check(sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) == SQLITE_OK);
  }
};

namespace {

// One use of a prepared statement; binds its parameters in order.
class Use {
 public:
  Use(sqlite3* database, const fs::path& file, sqlite3_stmt* statement)
      : database_(database), file_(file), statement_(statement) {}
  ~Use() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  // `text` must outlive the use.
  Use& bind(const std::string& text) {
    return check(sqlite3_bind_text(statement_, ++bound_, text.data(), int(text.size()), SQLITE_STATIC));
  }
  Use& bind(int64_t number) { return check(sqlite3_bind_int64(statement_, ++bound_, number)); }
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
  Use& check(int code) {
    if (code != SQLITE_OK) fail(database_, file_);
    return *this;
  }
  sqlite3* database_;
  const fs::path& file_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

using Settings = std::map<std::string, std::string>;

Settings read_settings(sqlite3* database, const fs::path& file) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, "SELECT name, value FROM settings", -1, &statement, nullptr) != SQLITE_OK)
    fail(database, file);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
  Settings result;
  for (Use row(database, file, statement); row.step();) result[row.text(0)] = row.text(1);
  return result;
}

void write_settings(sqlite3* database, const fs::path& file, const Settings& settings) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, "INSERT OR REPLACE INTO settings VALUES (?, ?)", -1, &statement,
                         nullptr) != SQLITE_OK)
    fail(database, file);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
  for (const auto& [name, value] : settings) Use(database, file, statement).bind(name).bind(value).step();
}

// The folder may be that of another program, whose database happens to have the name.
void require_own_tables(sqlite3* database, const fs::path& file) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(
          database,
          "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND "
          "name NOT IN ('settings', 'results')",
          -1, &statement, nullptr) != SQLITE_OK)
    fail(database, file);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
  std::vector<std::string> names;
  for (Use row(database, file, statement); row.step();) names.push_back(row.text(0));
  if (!names.empty())
    throw UserError(
        fmt::format("{} is a database of another program (its tables: {}) and is not changed. Choose "
                    "another --out.",
                    file.string(), name_some(names)));
}

void compare(const fs::path& file, const Settings& known, const Settings& wanted,
             const std::vector<std::string>& may_change) {
  Problems problems;
  for (const auto& [name, value] : wanted) {
    const auto found = known.find(name);
    const std::string before = found == known.end() ? "" : found->second;
    if (before == value || std::count(may_change.begin(), may_change.end(), name) > 0) continue;
    problems.add(fmt::format("{} was '{}' and is '{}' now", name, before, value));
  }
  problems.throw_if_any(file.string() +
                        " was made with other settings; give the same ones, or another --out");
}

}  // namespace

JobStore::JobStore(const fs::path& file, const Settings& settings, const std::vector<std::string>& may_change)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.file = file;
  create_for_the_group(file);
  s.check(sqlite3_open(file.c_str(), &s.database) == SQLITE_OK);
  constexpr int kBusyMilliseconds = 5000;  // another program may read the file
  sqlite3_busy_timeout(s.database, kBusyMilliseconds);
  require_own_tables(s.database, file);
  // With WAL and FULL, a commit is an append and an fsync, and a stored result survives a power cut.
  s.run("PRAGMA journal_mode = WAL");
  s.run("PRAGMA synchronous = FULL");
  s.run("BEGIN IMMEDIATE");
  s.run("CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)");
  s.run(
      "CREATE TABLE IF NOT EXISTS results (key TEXT PRIMARY KEY, caption TEXT NOT NULL, reason TEXT NOT "
      "NULL, detail TEXT NOT NULL, model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens "
      "INTEGER NOT NULL, attempts INTEGER NOT NULL)");
  Settings wanted = settings;
  wanted.insert_or_assign("tables", std::string(kVersion));
  const Settings known = read_settings(s.database, file);
  if (!known.empty()) compare(file, known, wanted, may_change);
  if (known != wanted) write_settings(s.database, file, wanted);
  s.run("COMMIT");
  s.prepare(s.find,
            "SELECT caption, reason, detail, model, prompt_tokens, completion_tokens, attempts FROM results "
            "WHERE key = ?");
  s.prepare(s.put, "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
}
JobStore::~JobStore() = default;

void JobStore::put(const Result& result) {
  PIXART_CHECK(!result.text.empty() || !result.reason.empty(), "{}: answered or rejected", result.key);
  Use(state_->database, state_->file, state_->put)
      .bind(result.key)
      .bind(result.text)
      .bind(result.reason)
      .bind(result.detail)
      .bind(result.model)
      .bind(result.prompt_tokens)
      .bind(result.completion_tokens)
      .bind(result.attempts)
      .step();
}

std::optional<Result> JobStore::find(const std::string& key) const {
  Use row(state_->database, state_->file, state_->find);
  if (!row.bind(key).step()) return std::nullopt;
  return Result{.key = key,
                .text = row.text(0),
                .reason = row.text(1),
                .detail = row.text(2),
                .model = row.text(3),
                .prompt_tokens = row.number(4),
                .completion_tokens = row.number(5),
                .attempts = row.number(6)};
}

bool JobStore::has_answers() const {
  sqlite3_stmt* statement = nullptr;
  state_->prepare(statement, "SELECT 1 FROM results WHERE reason = '' LIMIT 1");
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
  return Use(state_->database, state_->file, statement).step();
}

void JobStore::forget(const std::string& key) {
  sqlite3_stmt* statement = nullptr;
  state_->prepare(statement, "DELETE FROM results WHERE key = ?");
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> owner(statement, sqlite3_finalize);
  Use(state_->database, state_->file, statement).bind(key).step();
}

void JobStore::forget_rejected() { state_->run("DELETE FROM results WHERE reason <> ''"); }

}  // namespace pixart::caption
