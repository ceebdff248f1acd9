#pragma once
#include <memory>
#include <vector>

#include "mesh.h"
#include "pixart/distributed/communicator.h"

namespace pixart::distributed {

// Sums over sockets: each rank sums one part of the elements for all ranks, then the ranks exchange the sums.
class CpuCommunicator final : public Communicator {
 public:
  explicit CpuCommunicator(std::unique_ptr<Mesh> mesh) : mesh_(std::move(mesh)) {}
  int rank() const override { return mesh_->rank(); }
  int world_size() const override { return mesh_->world_size(); }
  void all_reduce_sum(at::Tensor& tensor, std::string_view phase) override;
  void reduce_scatter(const at::Tensor& input, at::Tensor& output, std::string_view phase) override;
  void all_gather(const at::Tensor& input, at::Tensor& output, std::string_view phase) override;
  void broadcast(at::Tensor& tensor, int root, std::string_view phase) override;
  void barrier(std::string_view phase) override;
  Mesh& mesh() { return *mesh_; }

 private:
  // The data from each rank, in rank order, with this rank's own part in its position.
  std::vector<const void*> room_for(const void* own, int64_t bytes);

  std::unique_ptr<Mesh> mesh_;
  std::unique_ptr<char[]> received_;  // reused in each call: new memory costs more than the sum
  int64_t received_bytes_ = 0;
};

// Checks shapes and types of reduce_scatter and all_gather: `whole` is world_size times `part`. An error is a
// bug of the caller.
void check_parts(const at::Tensor& whole, const at::Tensor& part, int world_size);

}  // namespace pixart::distributed
