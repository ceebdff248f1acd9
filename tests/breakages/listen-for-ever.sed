# breaks: rank 0 still listens when the ranks have met
# file: src/distributed/rendezvous.cpp
# tests: unit_distributed
s/host_meeting\(attendance, open_door\(attendance\), strangers\)/host_meeting(attendance, *new Socket(open_door(attendance)), strangers)/
