# Builds one function for Lambda's provided.al2023: build-HoldsFunction makes a static bootstrap of functions/holds in
# ARTIFACTS_DIR. `sam build` calls it in the project's directory; GOARCH comes from the Makefile that includes this.
# lambda.norpc leaves out the go1.x protocol. Without VCS stamp and paths, the same source gives the same bytes, so that
# a deployment replaces only the functions that have changed.
build-%Function:
	CGO_ENABLED=0 GOOS=linux GOARCH=$(GOARCH) go build -trimpath -buildvcs=false -tags lambda.norpc -ldflags='-s -w' \
		-o '$(ARTIFACTS_DIR)/bootstrap' ./functions/$(shell echo $* | tr '[:upper:]' '[:lower:]')
