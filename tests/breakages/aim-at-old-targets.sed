# breaks: with optimizer.shard, the target network of a distilled model is the EMA of the first step
# file: src/train/trainer.cpp
# tests: property_ranks
s/if \(objective_\.reads_ema\(\)\) gather_ema\(\);//
