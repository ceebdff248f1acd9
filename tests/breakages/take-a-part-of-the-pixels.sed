# breaks: a PNG that ends before its last row is taken, like one that lacks its end marks only
# file: src/formats/png.cpp
# tests: unit_formats cli_spoiled_data
s/ && reader\.state\.rows == num_stored_rows\(reader\.png, reader\.info\)//
