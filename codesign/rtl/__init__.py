"""The open door to hardware: Verilog by alkaid, simulation by Verilator, cell counts by Yosys."""
