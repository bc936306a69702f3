# A tour for the shell: sh /etc/demo.sh
cat /etc/motd
ls -l /data
cat /data/forty-two
example2 /data/forty-two
echo "example2 ended with status $?"
cat /data/forty-two && echo 'and the file is as it was'
