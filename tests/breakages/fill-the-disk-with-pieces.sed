# breaks: the cache of shards grows beyond its limit
# file: src/data/remote_cache.cpp
# tests: unit_data
s/if \(used \+ bytes > limit_ &&/if (used + bytes > 9 * limit_ \&\&/
