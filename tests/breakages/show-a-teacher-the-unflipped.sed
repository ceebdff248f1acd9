# breaks: what the teacher saw in the image is read unflipped next to a flipped latent
# file: src/features/feature_reader.cpp
# tests: property_on_the_fly
s/part\.teacher->read\(place\.row, mirrored,/part.teacher->read(place.row, false,/
