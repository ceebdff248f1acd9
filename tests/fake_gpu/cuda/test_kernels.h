#pragma once

void normalize(const float* rows, float* out, int num_rows, int width);
void reverse_in_blocks(const float* in, float* out, int blocks, int threads, bool with_barrier);
void sum_first_warp(const double* in, double* out);
const char* split_barriers(int threads);
