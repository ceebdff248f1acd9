// pixart data pack: writes any source as WebDataset shards.

#include "commands.h"
#include "data_source.h"
#include "pixart/base/error.h"
#include "pixart/base/print.h"
#include "pixart/base/words.h"
#include "pixart/data/pack.h"

namespace pixart::tools {
namespace fs = std::filesystem;

namespace {

struct PackArguments {
  fs::path out;
  data::PackOptions options;
  bool no_verify = false;
};

// The entry for the shards in a run file.
std::string source_line(const data::SourceConfig& source, const fs::path& out) {
  std::string kinds;
  for (const auto& kind : source.captions)
    kinds += fmt::format("{}{{name: {}, weight: {}}}", kinds.empty() ? "" : ", ", kind.name, kind.weight);
  return fmt::format("{{name: {}, type: webdataset, path: {}{}}}", source.name, out.string(),
                     kinds.empty() ? "" : ", captions: [" + kinds + "]");
}

void run(const SourceArguments& where, PackArguments arguments) {
  arguments.options.verify = !arguments.no_verify;
  const auto source = chosen_source(where);
  const auto dataset = data::open_dataset(source, index_place(where));
  const auto report = data::pack(source, *dataset, arguments.out, arguments.options);
  print_line("{}", data::describe(report.ledger));
  if (!report.ledger.rejected.empty())
    print_line("samples that were left out and the reasons: {}",
               (arguments.out / "quarantine.jsonl").string());
  print_line("{} shards, {} in {}{}", with_thousands(report.shards), human_bytes(report.bytes),
             arguments.out.string(),
             report.kept == 0 ? "" : fmt::format(" ({} were complete before)", report.kept));
  print_line("in a run file: {}", source_line(source, arguments.out));
}

}  // namespace

void add_data_pack(CLI::App& data) {
  auto where = std::make_shared<SourceArguments>();
  auto arguments = std::make_shared<PackArguments>();
  auto* command = data.add_subcommand(
      "pack", "Write a source as WebDataset shards (tar files), for training or for others.");
  add_source_options(*command, where);
  command
      ->add_option("OUT", arguments->out,
                   "folder for the shards: new, empty, or from an earlier call of the same command")
      ->required();
  command
      ->add_option("--shard-bytes", arguments->options.shard_bytes,
                   "largest shard; K, M, G are powers of 1000, Ki, Mi, Gi of 1024")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->default_str("512M");
  command
      ->add_option("--shard-samples", arguments->options.shard_samples,
                   "largest number of samples in a shard (default: no limit)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  command->add_flag("--no-verify", arguments->no_verify,
                    "do not decode each image; damaged ones are then found only in training");
  command->footer(
      "Each sample becomes KEY.jpg (or .png, .webp; the bytes of the source), KEY.txt or KEY.json with its "
      "captions,\n"
      "and KEY.cls with its class. Bad samples are left out and listed in OUT/quarantine.jsonl with the "
      "reason;\n"
      "OUT/pack.json, written last, has counts and the SHA-256 of each shard. If the command is stopped, the\n"
      "same command continues after the last complete shard; the result is the same to the byte.\n\n"
      "Examples:\n"
      "  pixart data pack my-images shards\n"
      "  pixart data pack run.yaml shards --source beauty --shard-bytes 1G\n"
      "  pixart data pack imagenet/train shards --type class_folder --shard-samples 10000");
  command->callback([where, arguments] { run(*where, *arguments); });
}

}  // namespace pixart::tools
