// The precompiled header of tests without LibTorch.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plain_pch.h"
