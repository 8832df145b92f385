from edgecomp.cli.app import main

main()
