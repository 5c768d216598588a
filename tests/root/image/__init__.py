"""The Dockerfile and the compose file carried out without Docker: stages in folders of Debian's debootstrap, containers
as processes in namespaces. It knows what those two files use, and refuses the rest."""
